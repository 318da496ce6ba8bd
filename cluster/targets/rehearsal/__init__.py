"""On the lab of this machine (`python -m cluster rehearsal up`): production's manifests with short timers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster import instance_types, kustomize, placeholders, preflight
from cluster.client import Api
from cluster.cluster_target import ClusterTarget
from cluster.errors import Refused
from cluster.objects import Manifest
from cluster.observe import Stage
from cluster.preflight import Facts
from cluster.rehearsal import addresses
from cluster.rehearsal.lab import Lab, Running
from cluster.release import Release
from cluster.settings import Settings
from cluster.targets import Options, Tell
from cluster.targets.rehearsal import state, timers
from cluster.targets.rehearsal.target import NAME, RehearsalTarget

__all__ = ["NAME", "RehearsalTarget", "open_release", "open_target"]

CLUSTERS = Path(__file__).resolve().parents[3] / "manifests" / "clusters"
VARIABLES = {
    "EKS_CLUSTER_NAME": addresses.CLUSTER,
    "KARPENTER_NODE_ROLE": addresses.NODE_ROLE,
    # As the lab's kubelet knows them (cluster/rehearsal/components.py).
    "CHATBOT_CPU_IMAGE": "chatbot-cpu:rehearsal",
    "CHATBOT_NEURON_IMAGE": "chatbot-neuron:rehearsal",
}
_CONTROLLERS = ("karpenter", "kuberay-operator")


def open_target(settings: Settings, tell: Tell, options: Options) -> RehearsalTarget:
    """The rehearsal as a target. Raises Refused where no lab runs, or for an option of another target."""
    if options.settings or options.port:
        raise Refused("--set and --port are for the local target: on a cluster the settings stand in manifests/.")
    lab = running(settings)
    release = _release(lab, tell, force_conflicts=options.force_conflicts)

    def state_now() -> Mapping[str, Any]:
        return state.document(lab, release.desired, timers.compare(release.desired, _production()))

    cluster = ClusterTarget(
        release,
        lambda: contextlib.nullcontext(lab.chat_url),
        way_in="",
        api_key=settings.api_key,
        name=NAME,
    )
    return RehearsalTarget(cluster, state_file(settings), state_now)


def open_release(settings: Settings, tell: Tell) -> Release:
    """The manifests of this target on the lab that runs. Raises Refused where none runs."""
    return _release(running(settings), tell)


def lab_of(settings: Settings) -> Lab:
    """The lab of this user, whether it runs or not."""
    return Lab(settings.cache_dir / "rehearsal" / "lab")


def running(settings: Settings) -> Running:
    """The lab that runs. Raises Refused with what to do where none does."""
    found = lab_of(settings).status()
    if found is None:
        raise Refused("The rehearsal's lab does not run on this machine; start it: python -m cluster rehearsal up")
    return found


def state_file(settings: Settings) -> Path:
    """Where the load test looks for the deployed rehearsal."""
    return settings.cache_dir / NAME / "state.json"


def _release(lab: Running, tell: Tell, *, force_conflicts: bool = False) -> Release:
    entry = CLUSTERS / NAME if lab.scenario.runner == "simulated" else CLUSTERS / "rehearsal-real-model"
    desired = kustomize.build(entry).fill(VARIABLES)

    def facts(api: Api) -> Facts:
        return _facts(lab, api)

    return Release(
        Stage(Api.connect(lab.kubeconfig), NAME),
        desired,
        tell,
        instance_types.usd_per_hour(),
        force_conflicts,
        facts=facts,
    )


def _production() -> list[Manifest]:
    examples = {name: placeholder.example for name, placeholder in placeholders.declared(CLUSTERS).items()}
    return kustomize.build(CLUSTERS / "eks").fill(examples)


def _facts(lab: Running, api: Api) -> Facts:
    """As on every cluster, but that Karpenter and KubeRay's operator are processes of the lab. Raises Refused without one."""
    at_work = {part.name for part in lab.parts if part.state == "running"}
    if absent := [name for name in _CONTROLLERS if name not in at_work]:
        raise Refused(
            f"The lab runs without {' and '.join(absent)}: its scenario leaves that out, or it has ended. "
            "Look at: python -m cluster rehearsal status"
        )
    controllers = tuple(preflight.Controller(name, "the lab", None, 1) for name in _CONTROLLERS)
    return replace(preflight.gather(api), controllers=controllers)
