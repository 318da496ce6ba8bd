"""When an object is ready: one pure predicate a kind, and waiting for it by following the object."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.client import Api, Collection, Resource
from cluster.errors import NotReady
from cluster.objects import Key, condition, dig, mapping, mappings, text
from cluster.serve_status import why_not_deployed

Object = Mapping[str, Any]

NEWS_S = 30.0  # a person who waits hears something so often

# A RayService in one of these does not come up any more without a change.
_TERMINAL = frozenset({"InitializingTimeout", "ValidationFailed"})


@dataclass(frozen=True, slots=True)
class State:
    """Of one object."""

    ready: bool
    reason: str = ""
    hopeless: bool = False  # waiting longer does not help


READY = State(ready=True)


def readiness(value: Object) -> State:
    """Whether the object does what it is for; kinds that are ready by existing are."""
    check = _CHECKS.get(text(value.get("kind")))
    return check(value) if check else READY


def _by_condition(value: Object) -> State:
    """Karpenter's kinds: Ready for this generation, else the conditions that are not true."""
    ready = condition(value, "Ready")
    generation = dig(value, "metadata", "generation")
    if ready.get("status") == "True" and ready.get("observedGeneration", generation) == generation:
        return READY
    failing = [c for c in mappings(dig(value, "status", "conditions")) if c.get("status") != "True"]
    told = [f"{text(c.get('type'))}: {text(c.get('message')) or text(c.get('reason'))}" for c in failing]
    return State(ready=False, reason="; ".join(told) or "its controller has not looked at it yet")


def _ray_service(value: Object) -> State:
    ready = condition(value, "Ready")
    if ready.get("reason") in _TERMINAL:
        return State(ready=False, reason=f"{text(ready.get('reason'))}: {text(ready.get('message'))}", hopeless=True)
    if dig(value, "status", "observedGeneration") != dig(value, "metadata", "generation"):
        return State(ready=False, reason="KubeRay has not looked at this version yet")
    if failed := _failed_application(value):
        return State(ready=False, reason=failed, hopeless=True)
    if condition(value, "UpgradeInProgress").get("status") == "True":
        return State(ready=False, reason="the new cluster is not serving yet, the old one still answers")
    if ready.get("status") == "True":
        return READY
    return State(ready=False, reason=text(ready.get("message")) or text(ready.get("reason")) or "no status yet")


def _failed_application(value: Object) -> str:
    """Serve's words about an application that it has given up on the cluster that is to answer; empty for none."""
    status = mapping(value.get("status"))
    which = "pendingServiceStatus" if dig(status, "pendingServiceStatus", "rayClusterName") else "activeServiceStatus"
    for name, application in mapping(dig(status, which, "applicationStatuses")).items():
        if dig(application, "status") == "DEPLOY_FAILED":
            return f"Serve cannot deploy application {name}: {why_not_deployed(application)}"
    return ""


def _daemon_set(value: Object) -> State:
    status = value.get("status")
    wanted, ready = dig(status, "desiredNumberScheduled") or 0, dig(status, "numberReady") or 0
    if dig(status, "observedGeneration") == dig(value, "metadata", "generation") and ready >= wanted:
        return READY
    return State(ready=False, reason=f"{ready} of {wanted} pods are ready")


def _replicated(value: Object) -> State:
    wanted = dig(value, "spec", "replicas")
    wanted = 1 if wanted is None else wanted
    ready = dig(value, "status", "readyReplicas") or 0
    if dig(value, "status", "observedGeneration") == dig(value, "metadata", "generation") and ready >= wanted:
        return READY
    return State(ready=False, reason=f"{ready} of {wanted} pods are ready")


def _job(value: Object) -> State:
    for kind in ("Failed", "FailureTarget"):
        if (found := condition(value, kind)).get("status") == "True":
            return State(
                ready=False, reason=f"{text(found.get('reason'))}: {text(found.get('message'))}", hopeless=True
            )
    if condition(value, "Complete").get("status") == "True":
        return READY
    status = value.get("status")
    running, ended = dig(status, "active") or 0, dig(status, "succeeded") or 0
    return State(ready=False, reason=f"{running} pods at work, {ended} done")


def _namespace(value: Object) -> State:
    if dig(value, "status", "phase") == "Active":
        return READY
    return State(ready=False, reason="it is being deleted")


_CHECKS: dict[str, Callable[[Object], State]] = {
    "EC2NodeClass": _by_condition,
    "NodePool": _by_condition,
    "RayService": _ray_service,
    "DaemonSet": _daemon_set,
    "Deployment": _replicated,
    "StatefulSet": _replicated,
    "Job": _job,
    "Namespace": _namespace,
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a step may take, on which clock, and whom to tell what it waits for."""

    timeout_s: float
    tell: Callable[[str], None] = lambda _: None
    now: Callable[[], float] = time.monotonic
    why: Callable[[], str] | None = None  # says what is waited for better than the object itself does


def until_ready(api: Api, resource: Resource, key: Key, patience: Patience) -> None:
    """Return when the object is ready. Raises as `until_all_ready`."""
    alone = Collection(api, resource, key.namespace, fields=f"metadata.name={key.name}")
    until_all_ready(alone, [key], patience)


def until_all_ready(collection: Collection, keys: Sequence[Key], patience: Patience) -> None:
    """Return when these objects of the collection are ready.

    Raises NotReady with what it waits for: after `timeout_s`, at once where waiting for one is hopeless or it is gone.
    """
    deadline = patience.now() + patience.timeout_s
    told, tell_again_at = "", 0.0
    for items in collection.follow():
        states = _states(keys, items)
        key, state = min(states, key=lambda found: (not found[1].hopeless, found[1].ready))
        if state.ready:
            return
        if state.hopeless or patience.now() >= deadline:
            waited = "" if state.hopeless else f" after {patience.timeout_s:.0f} s"
            raise NotReady(f"{key} is not ready{waited}: {state.reason}")
        if patience.why is None and f"{key}: {state.reason}" != told:
            told = f"{key}: {state.reason}"
            patience.tell(told)
        elif patience.why is not None and patience.now() >= tell_again_at:
            tell_again_at = patience.now() + NEWS_S
            patience.tell(patience.why())


def _states(keys: Sequence[Key], items: Sequence[Object]) -> list[tuple[Key, State]]:
    found = {text(dig(item, "metadata", "name")): item for item in items}
    for key in keys:
        if key.name not in found:
            raise NotReady(f"{key} was deleted while we waited for it.")
    return [(key, readiness({"kind": key.kind, **found[key.name]})) for key in keys]


def until_gone(collection: Collection, what: str, patience: Patience) -> None:
    """Return when the collection is empty. Raises NotReady with the names of what is left after `timeout_s`."""
    deadline = patience.now() + patience.timeout_s
    told: list[str] = []
    for items in collection.follow():
        if not items:
            return
        names = sorted(text(dig(item, "metadata", "name")) for item in items)
        if patience.now() >= deadline:
            raise NotReady(f"{what} still there after {patience.timeout_s:.0f} s: {', '.join(names)}")
        if names != told:
            told = names
            patience.tell(f"waiting until {what} {', '.join(names)} {'are' if len(names) > 1 else 'is'} gone")
