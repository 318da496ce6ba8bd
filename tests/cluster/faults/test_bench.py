"""The bench on the real API server; the lab's own part is tried by the rehearsal of faults."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.client import Api
from cluster.errors import NotReady
from cluster.faults.bench import LabBench
from cluster.faults.catalog import chosen
from cluster.faults.edit import apply
from cluster.faults.fault import Fault
from cluster.kustomize import render
from cluster.observe import Stage
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
