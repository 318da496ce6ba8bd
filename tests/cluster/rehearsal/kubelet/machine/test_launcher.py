from __future__ import annotations

from pathlib import Path

import pytest

from cluster.rehearsal.kubelet.machine.launcher import inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run/lock").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "up").symlink_to("../../../etc")
    (tmp_path / "loop").symlink_to("/loop")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/", ""),
        ("/models/new", "models/new"),
        ("/var/run/secrets", "run/secrets"),
        ("/up/passwd", "etc/passwd"),
        ("/var/../../../run", "run"),
    ],
)
def test_paths_are_followed_as_a_process_with_that_root_would(root: Path, path: str, leads_to: str) -> None:
    assert inside(root, path) == root / leads_to


def test_a_link_that_leads_to_itself_is_refused(root: Path) -> None:
    with pytest.raises(OSError, match="too many levels"):
        inside(root, "/loop")
