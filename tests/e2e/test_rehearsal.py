"""The rehearsal end to end, by the very commands that people type; and a sample of its faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import Refused
from cluster.rehearsal import build
from cluster.rehearsal.namespaces import refuse_without_namespaces
from cluster.settings import from_environment

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
    code, found = cluster("rehearse", "--reports", str(tmp_path))
    assert (code, found["verdict"], found["failure"]) == (0, "pass", None)
    assert found["memory_peak_bytes"] < 12 * 1024**3
    assert any("/v1/chat/completions" in line for line in found["locust"])
    report = json.loads((Path(found["report"]) / "report.json").read_text())
    assert report["verdict"] == "pass"
    reached = [
        {stage["name"] for stage in chain["stages"] if stage["status"] == "reached"} for chain in report["scale_out"]
    ]
    assert len(reached) == 2
    assert all(
        {"nodeclaim-created", "device-advertised", "model-loaded", "first-token"} <= stages for stages in reached
    )
    settings = from_environment()
    assert not (settings.cache_dir / "rehearsal" / "lab").exists()
    assert not (settings.cache_dir / "rehearsal" / "state.json").exists()


def test_a_sample_of_the_faults_is_named_rightly() -> None:
    code, found = cluster("rehearse-faults", "--sample")
    assert found["wrong"] == []
    assert code == 0
