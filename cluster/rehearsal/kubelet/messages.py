"""What a pod's worker is told, and what all workers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cluster.quantity import Resources
from cluster.rehearsal.kubelet.api import KubeletApi
from cluster.rehearsal.kubelet.events import Recorder
from cluster.rehearsal.kubelet.machine.images import Images
from cluster.rehearsal.kubelet.machine.probe import Outcome
from cluster.rehearsal.kubelet.machine.runtime import Live, Machine
from cluster.rehearsal.kubelet.pod.back_off import BackOff
from cluster.rehearsal.kubelet.pod.spec import Pod, ProbeKind


@dataclass(frozen=True, slots=True)
class Node:
    """A simulated node as the API server shows it."""

    uid: str
    is_ready: bool
    allocatable: Resources


@dataclass(frozen=True, slots=True)
class Seen:
    """The pod or its node has changed."""

    pod: Pod
    node: Node


@dataclass(frozen=True, slots=True)
class Vanished:
    """The pod's object or its node is no more: nobody is to be told."""


@dataclass(frozen=True, slots=True)
class Exited:
    """A container's process has ended."""

    live: Live
    exit_code: int
    out_of_memory: bool

    @property
    def reason(self) -> str:
        """As a container's status gives it."""
        if self.out_of_memory and self.exit_code == _KILLED:
            return "OOMKilled"
        return "Error" if self.exit_code else "Completed"


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe has answered."""

    live: Live
    kind: ProbeKind
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class HookFailed:
    """A preStop hook has failed; its container is being ended all the same."""

    live: Live
    outcome: Outcome


Message = Seen | Vanished | Exited | Probed | HookFailed

_KILLED = 137


@dataclass(frozen=True, slots=True)
class Services:
    """What all workers share."""

    machine: Machine
    images: Images
    api: KubeletApi
    events: Recorder
    back_off: BackOff
    now: Callable[[], float]
