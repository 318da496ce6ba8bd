"""A pod's status as the API server shows it, from its spec and what is known of its containers."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.objects import mapping, mappings, text
from cluster.rehearsal.kubelet.pod.decide import due
from cluster.rehearsal.kubelet.pod.spec import Container, Pod
from cluster.rehearsal.kubelet.pod.state import Ended, PodState, Record, Running, Waiting

RUNTIME = "process"  # where others say containerd: people see at once what runs their pods

# What the kubelet owns; PodScheduled is the scheduler's, and others are their controllers'.
OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod runs."""

    pod_address: str  # empty before there is a network
    host_address: str
    started_at: float  # when the kubelet took it up


def stamp(now: float) -> str:
    """As the API writes times: whole seconds in UTC."""
    return datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def phase(pod: Pod, state: PodState) -> str:
    """Pending, Running, Succeeded or Failed, as the kubelet computes it."""
    turn = due(pod, state)
    ended = [
        last
        for container in turn
        if isinstance(last := state.records[container.name].state, Ended)
        and (pod.is_terminating or not pod.restarts(container, last.exit_code))
    ]
    if len(ended) == len(turn):
        return "Failed" if any(last.exit_code for last in ended) else "Succeeded"
    if turn and turn[0].is_init:
        return "Pending"
    return "Running" if any(_has_run(state.records[container.name]) for container in turn) else "Pending"


Conditions = Mapping[str, Mapping[str, Any]]
"""By type."""


def conditions_of(value: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Those of a pod, or of a status that `build` made."""
    status = mapping(value.get("status")) or value
    return {text(condition.get("type")): condition for condition in mappings(status.get("conditions"))}


def build(pod: Pod, state: PodState, place: Place, known: Conditions, now: float) -> dict[str, Any]:
    """The whole status; what of it was true in the `known` conditions keeps its time."""
    built: dict[str, Any] = {
        "phase": phase(pod, state),
        "hostIP": place.host_address,
        "hostIPs": [{"ip": place.host_address}],
        "startTime": stamp(place.started_at),
        "conditions": _conditions(pod, state, known, now),
        "containerStatuses": [_container(pod, state.records[c.name], c) for c in pod.containers],
    }
    if pod.init_containers:
        built["initContainerStatuses"] = [_container(pod, state.records[c.name], c) for c in pod.init_containers]
    if place.pod_address:
        built |= {"podIP": place.pod_address, "podIPs": [{"ip": place.pod_address}]}
    return built


def _conditions(pod: Pod, state: PodState, known: Conditions, now: float) -> list[dict[str, str]]:
    return [_condition(known.get(kind, {}), kind, why, now) for kind, why in _reasons(pod, state).items()]


def _reasons(pod: Pod, state: PodState) -> dict[str, tuple[str, str] | None]:
    """For each condition None where it is true, else reason and message."""
    undone = [c.name for c in pod.init_containers if not _is_done(state.records[c.name])]
    unready = [c.name for c in pod.containers if not state.records[c.name].is_ready]
    over = phase(pod, state)
    initialized = ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(undone)}]")
    containers: tuple[str, str] | None = None
    if over == "Succeeded":
        containers = ("PodCompleted", "")
    elif over == "Failed":
        containers = ("PodFailed", "")
    elif unready:
        containers = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    gates = [text(gate.get("conditionType")) for gate in mappings(pod.spec.get("readinessGates"))]
    others = conditions_of(pod.value)  # gates are opened by others
    closed = [gate for gate in gates if mapping(others.get(gate)).get("status") != "True"]
    ready = containers or (("ReadinessGatesNotReady", f"not true: {', '.join(closed)}") if closed else None)
    sandbox = None if state.is_prepared and not state.is_released else ("", "")
    return dict(zip(OWN_CONDITIONS, (sandbox, initialized if undone else None, containers, ready), strict=True))


def _condition(known: Mapping[str, Any], kind: str, why: tuple[str, str] | None, now: float) -> dict[str, str]:
    status = "False" if why else "True"
    since = text(known.get("lastTransitionTime")) if known.get("status") == status else ""
    reason, message = why or ("", "")
    # An empty text takes away, by the merge, what the last status said.
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": since or stamp(now),
        "reason": reason,
        "message": message,
    }


def _container(pod: Pod, record: Record, container: Container) -> dict[str, Any]:
    is_ready = _is_done(record) if container.is_init else record.is_ready
    return {
        "name": container.name,
        "image": container.image,
        "imageID": container.image if record.instance else "",
        "containerID": f"{RUNTIME}://{pod.uid}/{container.name}/{record.instance}" if record.instance else "",
        "ready": is_ready,
        "started": record.has_started,
        "restartCount": record.restarts,
        "state": _state(record.state),
        "lastState": _state(record.previous) if record.previous and record.previous != record.state else {},
    }


def _state(state: Waiting | Running | Ended) -> dict[str, Any]:
    if isinstance(state, Waiting):
        return {"waiting": _without_empty({"reason": state.reason, "message": state.message}.items())}
    if isinstance(state, Running):
        return {"running": {"startedAt": stamp(state.started_at)}}
    ended = {
        "reason": state.reason,
        "message": state.message,
        "startedAt": stamp(state.started_at),
        "finishedAt": stamp(state.finished_at),
    }
    return {"terminated": {"exitCode": state.exit_code, **_without_empty(ended.items())}}


def _without_empty(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in pairs if value}


def _is_done(record: Record) -> bool:
    return isinstance(record.state, Ended) and record.state.exit_code == 0


def _has_run(record: Record) -> bool:
    return isinstance(record.state, Running | Ended) or record.previous is not None
