"""Pods as the API server shows them to a kubelet, and a virtual life of one: decisions carried out on paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.rehearsal.kubelet.pod import decide as decisions
from cluster.rehearsal.kubelet.pod.back_off import BackOff
from cluster.rehearsal.kubelet.pod.spec import Container, Pod, ProbeKind
from cluster.rehearsal.kubelet.pod.state import Ended, PodState, Running, first_records
from cluster.rehearsal.kubelet.pod.status import stamp

START = 1_800_000_000.0


def container(name: str = "c", **fields: Any) -> dict[str, Any]:
    """One of a pod's containers."""
    return {"name": name, "image": "app:1", "command": ["run"], **fields}


def pod(*containers: dict[str, Any], status: Mapping[str, Any] | None = None, **spec: Any) -> Pod:
    """A pod that is bound to node `n`; by default with one container `c`."""
    metadata = {
        "name": "p",
        "namespace": "ns",
        "uid": "u1",
        "labels": {"app": "chat", "tier": "front"},
        "annotations": {"note": "hello"},
    }
    whole = {"nodeName": "n", "serviceAccountName": "robot", "containers": list(containers or [container()]), **spec}
    return Pod({"metadata": metadata, "spec": whole, "status": dict(status or {})})


def terminating(value: Pod, at: float) -> Pod:
    """The same pod, deleted, with everything over at `at`."""
    metadata = {**value.value["metadata"], "deletionTimestamp": stamp(at)}
    return Pod({**value.value, "metadata": metadata})


@dataclass
class Life:
    """A pod whose actions take effect at once and are written down; time passes when a test says so."""

    pod: Pod
    speed: float = 1.0
    now: float = START
    done: list[decisions.Action] = field(default_factory=list)
    state: PodState = field(init=False)

    def __post_init__(self) -> None:
        self.state = PodState(first_records(self.pod, self.now), node_is_ready=True)

    def settle(self) -> list[decisions.Action]:
        """Carry out decisions until there is nothing to do now; what was done since the last call."""
        before = len(self.done)
        while (plan := decisions.decide(self.pod, self.state, self.now)).actions:
            for action in plan.actions:
                self.done.append(action)
                self._carry_out(action)
            if isinstance(plan.actions[-1], decisions.Remove):
                break
        return self.done[before:]

    def sleep(self) -> float:
        """Let time pass until the pod is to be looked at again; how long that was."""
        wake_at = decisions.decide(self.pod, self.state, self.now).wake_at
        assert wake_at is not None, "nothing is waited for"
        passed, self.now = wake_at - self.now, wake_at
        return passed

    def exit(self, name: str, code: int, reason: str = "Error") -> None:
        """A container's process ends."""
        record = self.state.records[name]
        assert isinstance(record.state, Running)
        ended = Ended(code, reason, record.state.started_at, self.now)
        after = decisions.exited(self.pod, self.container(name), record, ended, BackOff(self.speed))
        self.state = self.state.with_record(name, after)

    def answer(self, name: str, kind: ProbeKind, *, success: bool) -> None:
        """A probe that is on its way comes back."""
        record, probe = self.state.records[name], self.container(name).probes[kind]
        assert record.probes[kind].is_running
        self.state = self.state.with_record(name, record.probed(kind, probe, success=success, now=self.now))

    def container(self, name: str) -> Container:
        """By name."""
        return next(c for c in self.pod.all_containers if c.name == name)

    def _carry_out(self, action: decisions.Action) -> None:
        match action:
            case decisions.Prepare():
                self.state = dataclasses.replace(self.state, is_prepared=True)
            case decisions.Pull(name):
                self._note(name, pulled_at=self.now)
            case decisions.Start(name):
                record = self.state.records[name]
                self.state = self.state.with_record(name, record.begins().started(self.container(name), self.now))
            case decisions.RunProbe(name, kind):
                self.state = self.state.with_record(name, self.state.records[name].probing(kind))
            case decisions.Stop(name, kill_at, _):
                self._note(name, kill_at=kill_at)
            case decisions.Kill(name):
                self._note(name, is_killed=True)
            case decisions.Release():
                self.state = dataclasses.replace(self.state, is_released=True)

    def _note(self, name: str, **changes: Any) -> None:
        self.state = self.state.with_record(name, dataclasses.replace(self.state.records[name], **changes))
