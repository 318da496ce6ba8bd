from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cluster.rehearsal.kubelet.machine import cgroup


def test_the_first_version_is_found_by_its_memory_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").touch()
    groups = cgroup.find(tmp_path)
    assert groups == cgroup.Cgroups(tmp_path / "memory" / cgroup.FOLDER, is_v2=False)
    group = groups.make("pod-c-1", 1 << 20)
    assert (group.path / "memory.limit_in_bytes").read_text() == "1048576"


def test_the_second_version_is_found_and_memory_delegated(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    (tmp_path / cgroup.FOLDER).mkdir()
    (tmp_path / cgroup.FOLDER / "cgroup.subtree_control").write_text("memory\n")
    groups = cgroup.find(tmp_path)
    assert groups == cgroup.Cgroups(tmp_path / cgroup.FOLDER, is_v2=True)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"
    assert (groups.make("g", 5).path / "memory.max").read_text() == "5"


def test_a_container_without_a_limit_gets_a_group_without_one(tmp_path: Path) -> None:
    group = cgroup.Cgroups(tmp_path, is_v2=False).make("g", None)
    assert list(group.path.iterdir()) == []


def test_a_group_whose_limit_is_refused_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_group: cgroup.Group, _limit_bytes: int) -> None:
        raise PermissionError

    monkeypatch.setattr(cgroup.Group, "limit", refuse)
    with pytest.raises(PermissionError):
        cgroup.Cgroups(tmp_path, is_v2=False).make("g", 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("is_v2", "file"), [(True, "memory.events"), (False, "memory.oom_control")])
def test_kills_for_want_of_memory_are_counted(tmp_path: Path, is_v2: bool, file: str) -> None:
    (tmp_path / file).write_text("under_oom 0\noom_kill 2\n")
    assert cgroup.Group(tmp_path, is_v2).oom_kills() == 2


def test_a_group_that_is_gone_has_no_kills_to_tell_of(tmp_path: Path) -> None:
    assert cgroup.Group(tmp_path / "gone", is_v2=False).oom_kills() == 0


def test_a_machine_without_cgroups_is_said_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert cgroup.find(tmp_path) is None
    assert "memory limits are not enforced" in caplog.text


def test_empty_groups_are_swept_and_the_folder_with_them(tmp_path: Path) -> None:
    groups = cgroup.Cgroups(tmp_path / "ours", is_v2=False)
    groups.make("a", None)
    groups.make("b", None)
    assert groups.remove() == []
    assert not (tmp_path / "ours").exists()


def test_what_cannot_be_swept_is_told_by_its_folders(tmp_path: Path) -> None:
    groups = cgroup.Cgroups(tmp_path / "ours", is_v2=False)
    groups.make("a", None)
    (groups.parent / "cgroup.procs").touch()  # the kernel's files go with their folder
    assert groups.remove() == [tmp_path / "ours"]
