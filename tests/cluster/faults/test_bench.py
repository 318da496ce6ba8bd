"""The bench on the real API server, and on a lab that only writes down; the real lab is the rehearsal's."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.client import Api
from cluster.errors import NotReady
from cluster.faults.bench import LabBench
from cluster.faults.catalog import chosen
from cluster.faults.edit import apply
from cluster.faults.fault import Fault
from cluster.kustomize import render
from cluster.observe import Stage
from cluster.rehearsal.control import Silent
from cluster.rehearsal.lab import Lab
from cluster.release import Release
from cluster.targets.rehearsal import VARIABLES
from tests.support.status_double import StatusDouble

ROOT = Path(__file__).parents[3]
(FAULT,) = chosen(["toleration-missing"])


def bench(api: Api, folder: Path) -> LabBench:
    release = Release(Stage(api, "rehearsal"), render(ROOT / "manifests/clusters/rehearsal", VARIABLES), print, {})
    return LabBench(release, {**os.environ, "PYTHONPATH": str(ROOT)}, Lab(folder), (), folder)


@pytest.mark.cluster
@pytest.mark.parametrize("fault", [FAULT], ids=lambda fault: fault.name)
def test_what_lint_would_refuse_is_laid_down_and_cleared(
    api: Api, controllers: StatusDouble, tmp_path: Path, fault: Fault
) -> None:
    mine = bench(api, tmp_path)
    mine.lay_down(apply(fault.edits, mine.desired))
    service = next(manifest for manifest in mine.desired if manifest.kind == "RayService")
    live = mine.release.stage.live(service)
    assert live is not None
    assert "tolerations" not in live["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]
    assert mine.snapshot().named("RayService", "chatbot") is not None
    mine.clear()
    assert mine.release.stage.ours(mine.desired) == []


@pytest.mark.cluster
def test_a_load_test_without_a_verdict_is_an_error_in_its_own_words(api: Api, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"no verdict.*invalid choice"):
        bench(api, tmp_path).verdict(["nonsense"])


class Diary:
    """A lab that writes down what it is told."""

    def __init__(self, *, answers: bool = True) -> None:
        self.entries: list[str] = []
        self.answers = answers

    def stop_component(self, name: str) -> None:
        self.entries.append(f"stop {name}")
        if not self.answers:
            raise Silent("The rehearsal's lab is starting or ending at the moment: try again.")

    def restart_component(self, name: str) -> None:
        self.entries.append(f"restart {name}")

    def status(self) -> Any:
        return SimpleNamespace(pid=os.getpid())


def on(lab: Diary, folder: Path) -> LabBench:
    return LabBench(cast(Release, None), {}, cast(Lab, lab), ("kwok", "karpenter"), folder)


def test_components_end_and_the_last_one_ended_comes_back_first(tmp_path: Path) -> None:
    lab = Diary()
    with on(lab, tmp_path).without(["kwok", "karpenter"]):
        lab.entries.append("verdict")
    assert lab.entries == ["stop kwok", "stop karpenter", "verdict", "restart karpenter", "restart kwok"]


def test_a_component_comes_back_though_a_process_that_should_hang_is_not_there(tmp_path: Path) -> None:
    lab = Diary()
    with (
        pytest.raises(NotReady, match="called a-name-of-nobody"),
        on(lab, tmp_path).without(["kwok", "a-name-of-nobody"]),
    ):
        pass
    assert lab.entries == ["stop kwok", "restart kwok"]


def test_a_component_comes_back_though_nobody_said_that_it_ended(tmp_path: Path) -> None:
    lab = Diary(answers=False)
    with pytest.raises(Silent), on(lab, tmp_path).without(["kwok"]):
        pass
    assert lab.entries == ["stop kwok", "restart kwok"]
