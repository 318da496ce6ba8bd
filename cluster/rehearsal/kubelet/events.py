"""Events about pods, told in the background: what happens again raises a count, as with a kubelet's."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.errors import ClusterError
from cluster.rehearsal.kubelet.api import KubeletApi
from cluster.rehearsal.kubelet.pod.spec import Container, Pod
from cluster.rehearsal.kubelet.pod.status import stamp

COMPONENT = "kubelet"  # what people filter by; that it is the process kubelet is said by the node
Kind = Literal["Normal", "Warning"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a pod, or to one of its containers."""

    pod: Pod
    container: Container | None
    kind: Kind
    reason: str
    message: str
    at: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The same happening has the same key."""
        return self.pod.uid, self.container.name if self.container else "", self.reason, self.message


@dataclass(slots=True)
class Recorder:
    """Takes happenings from any thread; `run` tells the API server about them, in their order."""

    api: KubeletApi
    now: Callable[[], float]
    _queue: queue.SimpleQueue[Happening] = field(default_factory=queue.SimpleQueue)
    _told: dict[tuple[str, str, str, str], tuple[str, int]] = field(default_factory=dict)

    def normal(self, pod: Pod, reason: str, message: str, container: Container | None = None) -> None:
        """Something that was to happen."""
        self._queue.put(Happening(pod, container, "Normal", reason, message, self.now()))

    def warning(self, pod: Pod, reason: str, message: str, container: Container | None = None) -> None:
        """Something that was not."""
        self._queue.put(Happening(pod, container, "Warning", reason, message, self.now()))

    def start(self) -> None:
        """Tell from now on, as long as this process lives."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def tell(self, happening: Happening) -> None:
        """One happening. Raises ClusterError where the API server does not take it."""
        name, count = self._told.get(happening.key, ("", 0))
        count += 1
        if name:
            change = {"count": count, "lastTimestamp": stamp(happening.at)}
            self.api.patch_event(name, happening.pod.namespace, change)
        else:
            name = f"{happening.pod.name}.{int(happening.at * 1e6):x}{len(self._told):x}"
            self.api.create_event(_event(name, happening))
        self._told[happening.key] = (name, count)

    def _run(self) -> None:
        while True:
            happening = self._queue.get()
            try:
                self.tell(happening)
            except ClusterError as error:
                _log.warning("event %s of %s is lost: %s", happening.reason, happening.pod.full_name, error)


def _event(name: str, happening: Happening) -> dict[str, Any]:
    pod, container, at = happening.pod, happening.container, stamp(happening.at)
    about = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    if container is not None:
        about["fieldPath"] = container.field_path
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": pod.namespace},
        "involvedObject": about,
        "type": happening.kind,
        "reason": happening.reason,
        "message": happening.message,
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": COMPONENT, "host": pod.node},
        "reportingComponent": COMPONENT,
        "reportingInstance": pod.node,
    }
