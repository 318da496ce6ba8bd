"""`loadtest verify` over a real deployment: what scales passes, and what cannot is named by the link that breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtest import profiles
from tests.e2e.local_deployment import PROJECT, LocalDeployment

CORES = os.cpu_count() or 1
LIMIT_S = 900.0

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1800),  # a whole step, out and in, and two shorter ones
    pytest.mark.skipif(CORES < 2, reason="a second replica needs a second core"),
]


def test_a_step_passes_and_two_ways_to_keep_it_from_scaling_are_named(
    own_folder: LocalDeployment, tmp_path: Path
) -> None:
    deploy(own_folder)
    code, document = verify(own_folder, "step", tmp_path)
    assert (code, document["verdict"], document["broken_link"]) == (0, "pass", None), document["sentence"]
    assert counts(document) == (1, 2, 2, 1)
    assert reached(document, "scale_out")[-1] == "first-token"
    assert reached(document, "scale_in")[-1] == "replica-drained"

    deploy(own_folder, "--set", "deployment.autoscaling_config={max_replicas: 1}")
    code, document = verify(own_folder, shorter_step(tmp_path), tmp_path)
    assert (code, document["verdict"]) == (2, "autoscaling-failed"), document["sentence"]
    assert document["broken_link"]["stage"] == "serve-target-raised"
    assert document["broken_link"]["reason"].startswith("max_replicas is 1 and 1 ran already")

    deploy(own_folder, "--set", f"deployment.ray_actor_options={{num_cpus: {CORES}}}")  # one replica takes all of them
    code, document = verify(own_folder, shorter_step(tmp_path), tmp_path)
    assert (code, document["verdict"]) == (2, "autoscaling-failed"), document["sentence"]
    assert document["broken_link"]["stage"] == "replica-started"
    assert reached(document, "scale_out") == ["load-applied", "serve-target-raised"]
    assert any("no process yet" in line for line in document["broken_link"]["evidence"])


def deploy(deployment: LocalDeployment, *more: str) -> None:
    """Anew, or over what stands, as a user would."""
    deployed = deployment.deploy(*more)
    assert deployed.returncode == 0, deployed.stderr


def verify(deployment: LocalDeployment, profile: str, folder: Path) -> tuple[int, dict[str, Any]]:
    """The command, which finds address, dashboard and token where the deployment wrote them down."""
    done = subprocess.run(
        [sys.executable, "-m", "loadtest", "verify", profile, "--reports", str(folder / "reports"), "-o", "json"],
        cwd=PROJECT,
        env=deployment.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def shorter_step(folder: Path) -> str:
    """The shipped step with the same users, over before a whole start: for what does not get that far."""
    document = yaml.safe_load(profiles.find("step").read_text())
    document |= {"name": "shorter-step", "description": "The step, without its second half and its way back."}
    for stage, duration_s in zip(document["stages"], (5, 60), strict=True):
        stage["duration_s"] = duration_s
    document["scaling"]["scale_in_s"] = 1
    path = folder / "shorter-step.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def counts(document: dict[str, Any]) -> tuple[int | None, ...]:
    """Replicas before, as the rule wants them, under load, and at the end."""
    return tuple(document["replicas"][name] for name in ("before", "expected", "observed", "after"))


def reached(document: dict[str, Any], way: str) -> list[str]:
    """The links of the one replica that came or went."""
    (chain,) = document[way]
    return [stage["name"] for stage in chain["stages"] if stage["status"] == "reached"]
