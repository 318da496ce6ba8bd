from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.settings import from_environment
from cluster.targets import names, open_target


def test_targets_are_found_by_name(tmp_path: Path) -> None:
    assert "local" in names()
    assert open_target("local", from_environment({"XDG_CACHE_HOME": str(tmp_path)}), lambda _: None).name == "local"


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Refused, match="local"):
        open_target("moon", from_environment({}), lambda _: None)


def test_local_needs_nothing_of_the_cluster_extra() -> None:
    code = "import sys, cluster.targets.local, cluster.commands.deploy; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
