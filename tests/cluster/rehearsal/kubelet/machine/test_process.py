from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cluster.rehearsal.kubelet.machine.process import Process


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_start_that_fails_leaves_no_file_open(tmp_path: Path) -> None:
    before = open_files()
    with pytest.raises(FileNotFoundError):
        Process.start(tmp_path / "specification.json", None, tmp_path / "missing" / "1.log")
    assert open_files() == before


def test_a_launcher_that_is_killed_ends_as_its_container_would() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as outer:
        outer.kill()
        assert Process(outer, 0, None).wait() == 137
