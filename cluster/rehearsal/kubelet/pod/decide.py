"""What to do next about one pod: from its spec, what is known of its containers, and the time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from cluster.rehearsal.kubelet.pod.back_off import BackOff
from cluster.rehearsal.kubelet.pod.spec import Container, Pod, ProbeKind
from cluster.rehearsal.kubelet.pod.state import Ended, PodState, Record, Running, Waiting

UNHEALTHY: tuple[ProbeKind, ...] = ("startup", "liveness")  # whose failure ends the container


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the pod's network, then its volumes."""


@dataclass(frozen=True, slots=True)
class Pull:
    """Have the container's image brought to the node."""

    container: str


@dataclass(frozen=True, slots=True)
class Start:
    """Run the container's process."""

    container: str


@dataclass(frozen=True, slots=True)
class RunProbe:
    """Ask the container how it is."""

    container: str
    kind: ProbeKind


@dataclass(frozen=True, slots=True)
class Stop:
    """Run the container's preStop hook and send TERM; it is killed at `kill_at`."""

    container: str
    kill_at: float
    why: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End the container's processes now."""

    container: str


@dataclass(frozen=True, slots=True)
class Release:
    """The pod has ended for good: give back its network and volumes, keep its logs."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Nothing of it runs any more: release it and let its object go."""


Action = Prepare | Pull | Start | RunProbe | Stop | Kill | Release | Remove


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions for now, and when to look again if nothing happens before."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None


def decide(pod: Pod, state: PodState, now: float) -> Plan:
    """The next step. Whoever carries it out notes each action's outcome in the state before asking again."""
    if pod.is_terminating or state.is_gone:
        return _end(pod, state, now)
    if is_finished(pod, state):
        return Plan() if state.is_released else Plan((Release(),))
    if not state.node_is_ready:
        return Plan()
    if not state.is_prepared:
        return Plan((Prepare(),)) if now >= state.not_before else Plan(wake_at=state.not_before)
    return _gathered(_advance(pod, container, state.records[container.name], now) for container in due(pod, state))


def due(pod: Pod, state: PodState) -> list[Container]:
    """The containers whose turn it is: the first init container that is not done, or all the others."""
    for container in pod.init_containers:
        ended = state.records[container.name].state
        if not (isinstance(ended, Ended) and ended.exit_code == 0):
            return [container]
    return pod.containers


def is_finished(pod: Pod, state: PodState) -> bool:
    """Whether no container of it will ever run again."""
    return all(
        isinstance(ended := state.records[container.name].state, Ended) and not pod.restarts(container, ended.exit_code)
        for container in due(pod, state)
    )


def exited(pod: Pod, container: Container, record: Record, ended: Ended, back_off: BackOff) -> Record:
    """The record after its process has ended: over, or waiting for its next start."""
    crashes = 0 if back_off.forgets(ended.finished_at - ended.started_at) else record.crashes
    after = dataclasses.replace(record, state=ended, kill_at=None, is_killed=False, probes={})
    if pod.is_terminating or not pod.restarts(container, ended.exit_code):
        return after
    delay_s = back_off.delay_s(crashes)
    state: Ended | Waiting = ended
    if delay_s:
        message = f"back-off {delay_s:g}s restarting failed container={container.name} pod={pod.full_name}"
        state = Waiting("CrashLoopBackOff", message)
    return dataclasses.replace(
        after, state=state, previous=ended, crashes=crashes + 1, not_before=ended.finished_at + delay_s
    )


def _end(pod: Pod, state: PodState, now: float) -> Plan:
    running = [name for name, record in state.records.items() if isinstance(record.state, Running)]
    if not running:
        return Plan((Remove(),))
    deadline = now if state.is_gone else pod.deadline
    return _gathered(_end_one(name, state.records[name], deadline, now) for name in running)


def _end_one(name: str, record: Record, deadline: float, now: float) -> Iterator[Plan]:
    if record.is_killed:
        return
    kill_at = deadline if record.kill_at is None else min(record.kill_at, deadline)  # a probe may have ended it before
    if now >= kill_at:
        yield Plan((Kill(name),))
    elif record.kill_at is None:
        yield Plan((Stop(name, deadline, f"Stopping container {name}"),), wake_at=deadline)
    else:
        yield Plan(wake_at=kill_at)


def _advance(pod: Pod, container: Container, record: Record, now: float) -> Iterator[Plan]:
    if isinstance(record.state, Running):
        yield from _watch(pod, container, record, now)
    elif isinstance(record.state, Ended) and not pod.restarts(container, record.state.exit_code):
        return
    elif now < record.not_before:
        yield Plan(wake_at=record.not_before)
    elif record.pulled_at is None:
        yield Plan((Pull(container.name),))
    elif now < record.pulled_at:
        yield Plan(wake_at=record.pulled_at)
    else:
        yield Plan((Start(container.name),))


def _watch(pod: Pod, container: Container, record: Record, now: float) -> Iterator[Plan]:
    if record.is_killed:
        return
    if record.kill_at is not None:
        yield Plan((Kill(container.name),)) if now >= record.kill_at else Plan(wake_at=record.kill_at)
        return
    for kind in UNHEALTHY:
        if kind in container.probes and record.probes[kind].has_failed(container.probes[kind]):
            why = f"Container {container.name} failed {kind} probe, will be restarted"
            yield Plan((Stop(container.name, now + pod.grace_s, why),))
            return
    for kind, probe in record.probes.items():
        if probe.is_running or (kind == "startup") == record.has_started:
            continue  # the start-up probe runs until it passes, the others from then on
        yield Plan((RunProbe(container.name, kind),)) if now >= probe.due_at else Plan(wake_at=probe.due_at)


def _gathered(parts: Iterator[Iterator[Plan]]) -> Plan:
    plans = [plan for part in parts for plan in part]
    wakes = [plan.wake_at for plan in plans if plan.wake_at is not None]
    return Plan(tuple(action for plan in plans for action in plan.actions), min(wakes, default=None))
