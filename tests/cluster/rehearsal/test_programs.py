from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.rehearsal import programs
from cluster.rehearsal.programs import CONTROL_PLANE, KARPENTER, KUBERAY, KWOK, PROGRAMS


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for program in PROGRAMS:
        shutil.copytree(program.folder, tmp_path / program.module, dirs_exist_ok=True)
    monkeypatch.setattr(programs, "SOURCES", tmp_path)
    return tmp_path


def test_the_pinned_releases_are_read_from_go_mod() -> None:
    assert [program.version for program in PROGRAMS] == ["v1.36.3", "v0.8.0", "v1.14.1", "v1.6.1"]


def test_the_version_is_stamped_as_each_project_does_it() -> None:
    assert "-X k8s.io/component-base/version.gitMinor=36" in CONTROL_PLANE.link_flags
    assert KARPENTER.link_flags.endswith("Version=1.14.1")


def test_a_change_of_one_main_makes_that_program_anew_and_no_other(sources: Path) -> None:
    before = {program.name: program.key for program in PROGRAMS}
    with (sources / "karpenter" / "main.go").open("a") as main:
        main.write("// another line\n")
    assert [p.name for p in PROGRAMS if p.key != before[p.name]] == ["karpenter"]


def test_a_change_of_pins_makes_what_they_pin_anew(sources: Path) -> None:
    before = {program.name: program.key for program in PROGRAMS}
    with (sources / "kuberay" / "go.sum").open("a") as sums:
        sums.write("example.com/a v1.0.0 h1:x\n")
    assert [p.name for p in PROGRAMS if p.key != before[p.name]] == [KUBERAY.name]


def test_a_module_that_is_not_pinned_is_an_error() -> None:
    with pytest.raises(ClusterError, match="pins no example"):
        _ = dataclasses.replace(KWOK, released="example.com/nothing").version
