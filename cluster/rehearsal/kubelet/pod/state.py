"""What is known of a pod's containers, and how each thing that happens changes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.objects import dig, mapping, mappings, text
from cluster.rehearsal.kubelet.pod.spec import Container, Pod, Probe, ProbeKind

_LOST = 137
_PROBE_HISTORY = 1 << 20


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not started, or waiting for its next start."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Its process runs."""

    started_at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """Its process has ended."""

    exit_code: int
    reason: str
    started_at: float
    finished_at: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A probe's results since its container was started."""

    due_at: float
    passed: bool
    is_running: bool = False
    run: int = 0  # same results in a row
    last: bool | None = None

    def after(self, probe: Probe, *, success: bool, now: float) -> ProbeRecord:
        """With one more result; `passed` turns when a threshold is reached."""
        run = min(self.run + 1, _PROBE_HISTORY) if success == self.last else 1
        threshold = probe.success_threshold if success else probe.failure_threshold
        passed = success if run >= threshold else self.passed
        return ProbeRecord(due_at=now + probe.period_s, passed=passed, run=run, last=success)

    def has_failed(self, probe: Probe) -> bool:
        """Whether it failed as often in a row as it may."""
        return self.last is False and self.run >= probe.failure_threshold


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one container."""

    state: Waiting | Running | Ended
    previous: Ended | None = None  # how the process before the present one ended
    restarts: int = 0
    instance: int = 0  # counts processes; what an earlier one reports is old news
    crashes: int = 0  # in a row, for the back-off
    pull_failures: int = 0
    pull_retry_at: float = 0.0  # when the registry is asked again
    pull_s: float | None = None  # how long the pull takes that its next start waits for
    pulled_at: float | None = None  # when the image is or will be there; None before it was asked for
    not_before: float = 0.0  # of the next attempt
    kill_at: float | None = None  # TERM is sent or its hook runs; KILL follows then
    is_killed: bool = False  # KILL is sent
    probes: Mapping[ProbeKind, ProbeRecord] = field(default_factory=dict)

    @property
    def has_started(self) -> bool:
        """Whether it runs and its start-up probe, if any, has passed."""
        startup = self.probes.get("startup")
        return isinstance(self.state, Running) and (startup is None or startup.passed)

    @property
    def is_ready(self) -> bool:
        """Whether it may be sent requests."""
        readiness = self.probes.get("readiness")
        return self.has_started and (readiness is None or readiness.passed)

    def begins(self) -> Record:
        """It is about to be started."""
        return dataclasses.replace(self, instance=self.instance + 1, restarts=self.restarts + (self.instance > 0))

    def started(self, container: Container, now: float) -> Record:
        """Its process runs."""
        probes = {
            kind: ProbeRecord(due_at=now + probe.initial_delay_s, passed=kind == "liveness")
            for kind, probe in container.probes.items()
        }
        return dataclasses.replace(self, state=Running(now), kill_at=None, is_killed=False, probes=probes, pull_s=None)

    def waits(self, reason: str, message: str = "", *, not_before: float = 0.0) -> Record:
        """It cannot start now."""
        return dataclasses.replace(self, state=Waiting(reason, message), not_before=not_before)

    def probing(self, kind: ProbeKind) -> Record:
        """A probe is on its way."""
        return self._with_probe(kind, dataclasses.replace(self.probes[kind], is_running=True))

    def probed(self, kind: ProbeKind, probe: Probe, *, success: bool, now: float) -> Record:
        """A probe has answered; others start to be due when the start-up probe passes."""
        return self._with_probe(kind, self.probes[kind].after(probe, success=success, now=now))

    def _with_probe(self, kind: ProbeKind, probe: ProbeRecord) -> Record:
        return dataclasses.replace(self, probes={**self.probes, kind: probe})


def first_records(pod: Pod, now: float) -> dict[str, Record]:
    """Of a pod that has just been taken up, with what its status says of containers that ran before."""
    told = {text(s.get("name")): s for s in _statuses(pod)}
    reason = "PodInitializing" if pod.init_containers else "ContainerCreating"
    return {c.name: _first_record(told.get(c.name, {}), c, reason, now) for c in pod.all_containers}


def _first_record(told: Mapping[str, Any], container: Container, reason: str, now: float) -> Record:
    restarts = int(told.get("restartCount") or 0)
    state: Waiting | Ended = Waiting("ContainerCreating" if container.is_init else reason)
    if dig(told, "state", "running"):  # by a kubelet that has ended, and its containers with it
        state = Ended(_LOST, "ContainerStatusUnknown", now, now, "The kubelet that ran it has ended")
    elif ended := mapping(dig(told, "state", "terminated")):
        state = Ended(int(ended.get("exitCode") or 0), text(ended.get("reason")), now, now)
    instance = restarts + (0 if isinstance(state, Waiting) and not restarts else 1)
    previous = state if isinstance(state, Ended) else None
    return Record(state, previous=previous, restarts=restarts, instance=instance)


def _statuses(pod: Pod) -> list[Mapping[str, Any]]:
    status = mapping(pod.value.get("status"))
    return [*mappings(status.get("initContainerStatuses")), *mappings(status.get("containerStatuses"))]


@dataclass(frozen=True, slots=True)
class PodState:
    """What is known of one pod."""

    records: Mapping[str, Record]  # by container, in the order of the spec
    node_is_ready: bool = False
    is_prepared: bool = False  # network and volumes are there
    is_released: bool = False  # network and volumes are gone again, the logs stay
    is_gone: bool = False  # its object or its node is no more
    prepare_failures: int = 0
    not_before: float = 0.0  # of the next attempt to prepare

    def with_record(self, name: str, record: Record) -> PodState:
        """One container's record replaced."""
        return dataclasses.replace(self, records={**self.records, name: record})

    def shown(self, before: Pod, after: Pod) -> PodState:
        """The pod was changed: an image that is written anew is brought before its container's next start."""
        images = {container.name: container.image for container in before.all_containers}
        records = {
            container.name: dataclasses.replace(self.records[container.name], pulled_at=None)
            for container in after.all_containers
            if container.image != images[container.name]
        }
        return dataclasses.replace(self, records={**self.records, **records})
