"""From a missing link and what the observers said of it to the one sentence of a verdict. Pure."""

from __future__ import annotations

from loadtest.observers import Cause
from loadtest.observers.watched import Account
from loadtest.timeline import HEAD_POD, NO_REPLICA, Chain

_WHAT_IT_MEANS = {
    "serve-target-raised": "Serve did not raise its target: the load it saw did not exceed target_ongoing_requests long enough",
    "ray-demand-raised": "Ray's autoscaler did not ask for another worker",
    "pod-created": "no pod was created for the demand",
    "nodeclaim-created": "no node pool took the pending pod",
    "node-launched": "the cloud did not launch the machine",
    "node-registered": "the machine did not join the cluster",
    "device-advertised": "the node does not advertise its Neuron devices",
    "pod-scheduled": "the pod was not scheduled onto the node",
    "image-pulled": "the image was not pulled",
    "container-started": "the container did not start",
    "ray-node-joined": "the pod's raylet did not join the Ray cluster",
    "replica-started": "the replica's process was not started: nothing has the resources that it asks for",
    "model-loaded": "the replica did not load its model",
    "replica-running": "the replica started and did not become ready",
    "first-token": "the replica runs and no client got a token from it",
    "serve-target-lowered": "Serve did not lower its target",
    "replica-drained": "a surplus replica did not end",
    "ray-node-idle": "Ray did not see its node as idle",
    "pod-deleted": "the worker pod was not deleted",
    "node-emptied": "the node was not emptied",
    "node-deleted": "the node was not deleted",
}  # fmt: skip


def reason(stage: str, chain: Chain, account: Account) -> str:
    """What kept the link away in the words of whoever refused it; without that, what its absence means."""
    found = causes_of(stage, chain, account)
    told = found[0].text if found else _WHAT_IT_MEANS[stage]
    last = chain.last_reached
    return f"{told}{_who(chain)}; the last link that held was {last.name} at {last.at_s or 0.0:.1f} s"


def is_definite(stage: str, chain: Chain, account: Account) -> bool:
    """Whether waiting longer for the link shows nothing new."""
    return any(cause.definite for cause in causes_of(stage, chain, account))


def causes_of(stage: str, chain: Chain, account: Account) -> list[Cause]:
    """What was said of this link, the most telling first: what is certain, then what speaks of this very chain."""
    mine = [
        cause
        for cause in account.causes
        if cause.stage == stage and (not cause.subject or cause.subject in chain.subjects)
    ]
    return sorted(mine, key=lambda cause: (not cause.definite, not cause.subject))


def _who(chain: Chain) -> str:
    if chain.replica == NO_REPLICA:
        return ""
    return " (head)" if chain.replica == HEAD_POD else f" (replica {chain.replica})"
