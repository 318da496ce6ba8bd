"""The rehearsal end to end, by the very commands that people type; and a sample of its faults."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import Refused
from cluster.rehearsal import build, control
from cluster.rehearsal.lab import STOP_TIMEOUT_S
from cluster.rehearsal.namespaces import refuse_without_namespaces
from cluster.settings import from_environment
from tests.support.traces import traces

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.ray, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _rehearsal_is_possible() -> None:
    try:
        refuse_without_namespaces()
        build.find(from_environment().cache_dir)
    except Refused as reason:
        pytest.skip(str(reason))


def cluster(*arguments: str) -> tuple[int, Any]:
    """The exit code and the JSON document of a command whose progress goes to our own stderr."""
    command: Sequence[str] = [sys.executable, "-m", "cluster", *arguments, "-o", "json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_whole_chain_passes_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    before = traces()
    code, found = cluster("rehearse", "--reports", str(tmp_path))
    assert (code, found["verdict"], found["failure"]) == (0, "pass", None)
    assert found["memory_peak_bytes"] < 12 * 1024**3
    assert any("/v1/chat/completions" in line for line in found["locust"])
    report = json.loads((Path(found["report"]) / "report.json").read_text())
    assert report["verdict"] == "pass"
    assert len(report["scale_out"]) == len(report["scale_in"]) == 2
    chains = [*report["scale_out"], *report["scale_in"]]
    missing = {
        stage["name"] for chain in chains for stage in chain["stages"] if stage["status"] in ("missing", "skipped")
    }
    assert not missing
    assert report["replicas"]["nodes_launched"] == report["replicas"]["observed"] - report["replicas"]["before"] == 2
    carried = sorted(
        (machine["pool"], len(machine["pods"]), "-head-" in machine["pods"][0])
        for machine in report["cost"]["machines"]
    )
    assert carried == [("trainium-trn1", 1, False)] * 3 + [("x86-cpu-karpenter", 1, True)]
    assert traces() - before == frozenset()
    assert_no_files()


def test_a_rehearsal_that_is_killed_leaves_nothing_that_runs_and_its_files_go_with_the_next(tmp_path: Path) -> None:
    before = traces()
    command = [sys.executable, "-m", "cluster", "rehearse", "--reports", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as rehearsal:
        assert rehearsal.stderr is not None
        assert any("Asking it something" in line for line in rehearsal.stderr)  # head and worker run
        supervisor = control.holder()
        assert supervisor is not None
        handle = os.pidfd_open(supervisor)
        rehearsal.kill()
    try:
        assert select.select([handle], [], [], STOP_TIMEOUT_S)[0], "the lab goes on without whoever started it"
    finally:
        os.close(handle)
    control.wait_until_free(STOP_TIMEOUT_S)  # by `unshare`, which has waited for the supervisor
    assert {trace for trace in traces() - before if not trace.startswith("group ")} == set()
    subprocess.run([sys.executable, "-m", "cluster", "rehearsal", "down"], cwd=ROOT, check=True)
    assert traces() - before == frozenset()
    assert_no_files()


def assert_no_files() -> None:
    settings = from_environment()
    assert not (settings.cache_dir / "rehearsal" / "lab").exists()
    assert not (settings.cache_dir / "rehearsal" / "state.json").exists()


def test_a_sample_of_the_faults_is_named_rightly() -> None:
    code, found = cluster("rehearse-faults", "--sample")
    assert found["wrong"] == []
    assert code == 0
