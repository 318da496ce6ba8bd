"""plan, permissions and explain as a user calls them, on the real API server: output and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cluster.client import Api
from cluster.rehearsal.control_plane import ControlPlane
from cluster.settings import from_environment
from tests.cluster.test_release import VARIABLES, open_release
from tests.support.status_double import StatusDouble

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(control_plane: ControlPlane) -> Run:
    """`python -m cluster ...` with a kubeconfig for the test's API server."""
    environment = {
        **from_environment().environment,
        **VARIABLES,
        "KUBECONFIG": str(control_plane.admin_kubeconfig),
    }

    def call(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cluster", *arguments],
            cwd=ROOT,
            env={**environment, **changes},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_plan_tells_changes_from_no_change_by_its_exit_code(api: Api, controllers: StatusDouble, run: Run) -> None:
    refused = run("plan", "eks")
    assert refused.returncode == 2
    assert "helm upgrade --install kuberay-operator" in refused.stderr
    controllers.install_controllers()
    before = run("plan", "eks")
    assert before.returncode == 3, before.stderr
    assert "+ create RayService chatbot/chatbot: it does not exist" in before.stdout
    release = open_release(api, "eks", [])
    release.apply(release.plan())
    after = run("plan", "eks", "-o", "json")
    assert after.returncode == 0, after.stderr
    assert {change["action"] for change in json.loads(after.stdout)["changes"]} == {"keep"}


def test_a_variable_that_is_not_set_is_named(api: Api, run: Run) -> None:
    missing = run("plan", "eks", EKS_CLUSTER_NAME="")
    assert missing.returncode == 2
    assert "EKS_CLUSTER_NAME" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_permissions_are_printed_as_manifests_and_checked(api: Api, run: Run) -> None:
    printed = run("permissions", "eks", "--user", "jane")
    kinds = [role["kind"] for role in yaml.safe_load_all(printed.stdout)]
    assert kinds[:2] == ["ClusterRole", "ClusterRoleBinding"]
    assert run("permissions", "eks", "--check").returncode == 0


def test_explain_ends_with_4_while_something_is_pending(api: Api, run: Run) -> None:
    absent = run("explain")
    assert absent.returncode == 4
    assert absent.stdout.startswith("RayService chatbot/chatbot does not exist.")
    document = json.loads(run("explain", "-o", "json").stdout)
    assert (document["schema"], document["pending"]) == ("chatbot.explain/v1", True)


def test_a_target_that_is_no_cluster_is_refused(run: Run) -> None:
    refused = run("plan", "local")
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: 'local' is no cluster: use eks or rehearsal.\n",
    )
