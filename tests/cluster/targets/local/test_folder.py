from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.targets.local.folder import KEPT_RUNS, LocalFolder


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "local")


def test_create_and_remove_leave_nothing_but_logs(folder: LocalFolder) -> None:
    folder.create()
    assert folder.ray.is_dir()
    assert folder.haproxy.is_dir()
    (folder.haproxy / "haproxy.cfg").write_text("")
    folder.state.write_text("{}")
    folder.remove()
    assert not folder.link.is_symlink()
    assert list(folder.root.iterdir()) == [folder.logs]
    folder.remove()


def test_the_token_is_fresh_and_for_this_user_only(folder: LocalFolder) -> None:
    folder.create()
    first = folder.token.read_text()
    folder.create()
    assert len(first) == 64
    assert folder.token.read_text() != first
    assert folder.token.stat().st_mode & 0o777 == 0o600
    folder.remove()


def test_a_link_that_is_not_ours_is_refused_and_left_alone(folder: LocalFolder, tmp_path: Path) -> None:
    folder.link.symlink_to(tmp_path)
    try:
        with pytest.raises(Refused, match="not ours"):
            folder.create()
        folder.remove()
        assert folder.link.is_symlink()
    finally:
        folder.link.unlink()


def test_logs_are_kept_by_run_and_only_the_last_ones(folder: LocalFolder) -> None:
    folder.create()
    session = folder.run / "ray" / "session_1" / "logs"
    session.mkdir(parents=True)
    (session / "raylet.out").write_text("said")
    (session / "nowhere").symlink_to("missing")
    (folder.run / "ray" / "session_latest").symlink_to("session_1")
    for run in range(KEPT_RUNS + 2):
        folder.keep_logs(f"run-{run}")
    folder.remove()
    assert sorted(path.name for path in folder.logs.iterdir()) == [f"run-{i}" for i in range(2, KEPT_RUNS + 2)]
    assert (folder.logs / "run-6" / "ray" / "raylet.out").read_text() == "said"


def test_two_commands_at_once_are_refused(folder: LocalFolder) -> None:
    with folder.locked(), pytest.raises(Refused, match="Another deploy or destroy"), folder.locked():
        pass
    with folder.locked():
        pass
