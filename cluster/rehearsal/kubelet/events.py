"""Events about pods, told in the background: what happens again raises a count, as with a kubelet's."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.errors import ClusterError
from cluster.rehearsal.kubelet.pod.pulling import Told
from cluster.rehearsal.kubelet.pod.spec import Container, Pod
from cluster.rehearsal.kubelet.pod.status import stamp

COMPONENT = "kubelet"  # what people filter by; that it is the process kubelet is said by the node
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a pod, or to one of its containers."""

    pod: Pod
    container: Container | None
    told: Told
    at: float

    @property
    def key(self) -> tuple[str, str, Told]:
        """The same happening has the same key."""
        return self.pod.uid, self.container.name if self.container else "", self.told


class EventApi(Protocol):
    """What the recorder needs of `KubeletApi`."""

    def create_event(self, event: Mapping[str, Any]) -> None:
        """One that has not been told yet."""

    def patch_event(self, name: str, namespace: str, change: Mapping[str, Any]) -> bool:
        """One that has happened again; False where it has expired meanwhile."""


@dataclass(slots=True)
class Recorder:
    """Takes happenings from any thread; `run` tells the API server about them, in their order."""

    api: EventApi
    now: Callable[[], float]
    _queue: queue.SimpleQueue[Happening] = field(default_factory=queue.SimpleQueue)
    _told: dict[tuple[str, str, Told], tuple[str, int]] = field(default_factory=dict)

    def tell_soon(self, pod: Pod, told: Told, container: Container | None = None) -> None:
        """It happened now."""
        self._queue.put(Happening(pod, container, told, self.now()))

    def start(self) -> None:
        """Tell from now on, as long as this process lives."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def tell(self, happening: Happening) -> None:
        """One happening. Raises ClusterError where the API server does not take it."""
        name, count = self._told.get(happening.key, ("", 0))
        change = {"count": count + 1, "lastTimestamp": stamp(happening.at)}
        if not name or not self.api.patch_event(name, happening.pod.namespace, change):
            name, count = f"{happening.pod.name}.{int(happening.at * 1e6):x}{len(self._told):x}", 0
            self.api.create_event(_event(name, happening))
        self._told[happening.key] = (name, count + 1)

    def _run(self) -> None:
        while True:
            happening = self._queue.get()
            try:
                self.tell(happening)
            except ClusterError as error:
                _log.warning("event %s of %s is lost: %s", happening.told.reason, happening.pod.full_name, error)
            except Exception:  # noqa: BLE001 - without this thread every later event would be lost, and nobody told
                _log.exception("event %s of %s is lost", happening.told.reason, happening.pod.full_name)


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
        "type": happening.told.kind,
        "reason": happening.told.reason,
        "message": happening.told.message,
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": COMPONENT, "host": pod.node},
        "reportingComponent": COMPONENT,
        "reportingInstance": pod.node,
    }
