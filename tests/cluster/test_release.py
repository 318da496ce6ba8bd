"""Our own manifests against the real API server with the real CRDs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cluster import kustomize
from cluster.client import Api
from cluster.kustomize import render
from cluster.objects import Manifest
from cluster.observe import Stage
from cluster.plan import Action
from cluster.rehearsal.control_plane import ControlPlane
from cluster.release import Release
from tests.support.status_double import StatusDouble

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
VARIABLES = {
    "EKS_CLUSTER_NAME": "eks-workshop",
    "KARPENTER_NODE_ROLE": "eks-workshop-node",
    "CHATBOT_CPU_IMAGE": "registry.invalid/chatbot-cpu:0.1.0",
    "CHATBOT_NEURON_IMAGE": "registry.invalid/chatbot-neuron:0.1.0",
    "CHATBOT_ARTIFACTS": "s3://models.invalid/mistral",
}


def open_release(api: Api, entry: str, told: list[str]) -> Release:
    """Our manifests for one of the clusters, on an API server."""
    desired: list[Manifest] = render(ROOT / "manifests" / "clusters" / entry, VARIABLES)
    return Release(Stage(api, entry), desired, told.append, {"trn1.2xlarge": 1.34375})


@pytest.mark.parametrize("entry", ["rehearsal", "eks"])
def test_each_cluster_entry_applies_becomes_ready_and_changes_nothing_the_second_time(
    api: Api, controllers: StatusDouble, entry: str
) -> None:
    told: list[str] = []
    ours = open_release(api, entry, told)
    plan = ours.plan()
    assert {change.action for change in plan.changes} == {Action.CREATE}
    ours.apply(plan)
    assert ours.plan().pending == []
    ours.destroy()
    assert ours.stage.ours(ours.desired) == []
    assert {change.action for change in ours.plan().changes} == {Action.CREATE}


def test_the_workshops_commands_make_the_four_objects_and_list_the_pools(
    control_plane: ControlPlane, api: Api, tmp_path: Path
) -> None:
    kubeconfig = {"KUBECONFIG": str(control_plane.admin_kubeconfig), "HOME": str(tmp_path)}

    def shell(command: str) -> list[str]:
        kubectl = {"PATH": f"{Path(kustomize.kubectl()).parent}:/usr/bin:/bin"}
        done = subprocess.run(  # noqa: S602 - the commands of the page, word for word, have pipes
            command,
            shell=True,
            cwd=ROOT,
            env={**VARIABLES, **kubeconfig, **kubectl},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    made = shell("kubectl kustomize manifests/nodepools | envsubst | kubectl apply -f -")
    assert sorted(made) == [
        "ec2nodeclass.karpenter.k8s.aws/trainium-trn1 created",
        "ec2nodeclass.karpenter.k8s.aws/x86-cpu-karpenter created",
        "nodepool.karpenter.sh/trainium-trn1 created",
        "nodepool.karpenter.sh/x86-cpu-karpenter created",
    ]
    head, *pools = [line.split() for line in shell("kubectl get nodepool")]
    assert {"NAME", "NODECLASS", "NODES", "READY"} <= set(head)
    assert [pool[:2] for pool in pools] == [
        ["trainium-trn1", "trainium-trn1"],
        ["x86-cpu-karpenter", "x86-cpu-karpenter"],
    ]
