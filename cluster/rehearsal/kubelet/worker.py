"""One pod's worker: a thread that asks `decide` what to do, has it done on this machine and tells the API server.

It owns the pod's state. Everything else reaches it as a message, so that there is one order in which things happen.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import ClusterError
from cluster.quantity import Resources
from cluster.rehearsal.kubelet.api import KubeletApi
from cluster.rehearsal.kubelet.events import Recorder
from cluster.rehearsal.kubelet.machine import runtime
from cluster.rehearsal.kubelet.machine.images import Images, NotFound
from cluster.rehearsal.kubelet.machine.network import NetworkFailed
from cluster.rehearsal.kubelet.machine.probe import Outcome
from cluster.rehearsal.kubelet.machine.process import StartFailed
from cluster.rehearsal.kubelet.machine.runtime import Live, Machine, Runtime
from cluster.rehearsal.kubelet.machine.sandbox import MountFailed
from cluster.rehearsal.kubelet.pod import decide as decisions
from cluster.rehearsal.kubelet.pod import status
from cluster.rehearsal.kubelet.pod.back_off import BackOff
from cluster.rehearsal.kubelet.pod.environment import StoreKind
from cluster.rehearsal.kubelet.pod.fields import Unresolved
from cluster.rehearsal.kubelet.pod.files import Sources
from cluster.rehearsal.kubelet.pod.spec import Container, Pod, ProbeKind
from cluster.rehearsal.kubelet.pod.state import Ended, PodState, Running, Waiting, first_records

_START_FAILED = 128
_OOM = 137
_CONFIG_RETRY_S = 10.0  # a kubelet's own rhythm of looking at a pod again
_FIRST_PREPARE_RETRY_S, _LONGEST_PREPARE_RETRY_S = 0.5, 122.0  # a kubelet's for volumes
_API_RETRY_S = 2.0
_log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe has answered."""

    live: Live
    kind: ProbeKind
    outcome: Outcome


Message = Seen | Vanished | Exited | Probed


@dataclass(frozen=True, slots=True)
class Services:
    """What all workers share."""

    machine: Machine
    images: Images
    api: KubeletApi
    events: Recorder
    back_off: BackOff
    now: Callable[[], float]


@dataclass(slots=True)
class Worker:
    """One pod from the moment it is seen until nothing of it is left."""

    services: Services
    pod: Pod
    node: Node
    inbox: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)
    is_over: bool = False
    state: PodState = field(init=False)
    runtime: Runtime = field(init=False)
    _started_at: float = field(init=False)
    _live: dict[str, Live] = field(default_factory=dict)
    _pulls: dict[str, float] = field(default_factory=dict)  # those on their way, by container: seconds
    _conditions: status.Conditions = field(init=False)
    _published: str = ""
    _was_finished: bool = field(init=False)  # when it was taken up: its status is complete
    _thread: threading.Thread | None = None
    _seen: Seen | None = None
    _retry_at: float | None = None  # of what the API server did not take

    def __post_init__(self) -> None:
        self._started_at = self.services.now()
        self._was_finished = self.pod.was_finished
        self.state = PodState(
            records=first_records(self.pod, self._started_at),
            node_is_ready=self.node.is_ready or self.pod.has_host_network,
            is_released=self._was_finished,
        )
        self.runtime = Runtime(self.services.machine, self.pod, self.node.uid, self.node.allocatable)
        self._conditions = status.conditions_of(self.pod.value)

    def start(self) -> None:
        """Work from now on, in a thread of its own."""
        name = f"pod {self.pod.namespace}/{self.pod.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until nothing of it is left, or for so long."""
        if self._thread is not None:
            self._thread.join(max(0.0, timeout_s))

    def see(self, seen: Seen) -> None:
        """The pod and its node as they are now."""
        if seen != self._seen:
            self._seen = seen
            self.inbox.put(seen)

    def vanish(self) -> None:
        """The pod's object or its node is no more."""
        self.inbox.put(Vanished())

    def runs(self, container: str) -> bool:
        """Whether a process of that container runs."""
        record = self.state.records.get(container)
        return record is not None and isinstance(record.state, Running)

    def _run(self) -> None:
        while not self.is_over:
            now = self.services.now()
            plan = decisions.decide(self.pod, self.state, now)
            for action in plan.actions:
                self._do(action)
            self._publish()
            if not plan.actions and not self.is_over:
                self._receive(plan.wake_at)

    def _receive(self, wake_at: float | None) -> None:
        times = [at for at in (wake_at, self._retry_at) if at is not None]
        timeout = max(0.0, min(times) - self.services.now()) if times else None
        try:
            message = self.inbox.get(timeout=timeout)
        except queue.Empty:
            return
        match message:
            case Seen():
                self._see(message)
            case Vanished():
                self.state = dataclasses.replace(self.state, is_gone=True)
            case Exited():
                self._note_exit(message)
            case Probed():
                self._note_probe(message)

    def _do(self, action: decisions.Action) -> None:
        match action:
            case decisions.Prepare():
                self._prepare()
            case decisions.Pull(name):
                self._pull(self._container(name))
            case decisions.Start(name):
                self._start(self._container(name))
            case decisions.RunProbe(name, kind):
                self._probe(self._container(name), kind)
            case decisions.Stop(name, kill_at, why):
                self._stop(self._container(name), kill_at, why)
            case decisions.Kill(name):
                self._live[name].process.kill()
                self._note(self._container(name), dataclasses.replace(self.state.records[name], is_killed=True))
            case decisions.Release():
                self._release()
            case decisions.Remove():
                self._remove()

    def _see(self, seen: Seen) -> None:
        self.pod = self.runtime.pod = seen.pod
        self.runtime.allocatable = seen.node.allocatable
        if seen.node.is_ready:
            self.state = dataclasses.replace(self.state, node_is_ready=True)

    def _prepare(self) -> None:
        failure, reason = "", "FailedMount"
        try:
            self.runtime.prepare(Sources(self.runtime.fields, self._lookup, self._token))
        except Unresolved as error:
            failure = str(error)
        except (NetworkFailed, MountFailed, OSError) as error:
            failure, reason = f"Failed to create pod sandbox: {error}", "FailedCreatePodSandBox"
        except ClusterError as error:
            failure = str(error)
        if not failure:
            self.state = dataclasses.replace(self.state, is_prepared=True, prepare_failures=0)
            return
        self.services.events.warning(self.pod, reason, failure)
        failures = self.state.prepare_failures
        delay_s = min(_LONGEST_PREPARE_RETRY_S, _FIRST_PREPARE_RETRY_S * 2 ** min(failures, 10))
        self.state = dataclasses.replace(
            self.state, prepare_failures=failures + 1, not_before=self.services.now() + delay_s
        )

    def _pull(self, container: Container) -> None:
        now, record, events = self.services.now(), self.state.records[container.name], self.services.events
        if now < record.pull_retry_at:
            events.normal(self.pod, "BackOff", f'Back-off pulling image "{container.image}"', container)
            events.warning(self.pod, "Failed", "Error: ImagePullBackOff", container)
            message = f'Back-off pulling image "{container.image}"'
            self._note(container, record.waits("ImagePullBackOff", message, not_before=record.pull_retry_at))
            return
        try:
            arrival = self.services.images.pull(self.node.uid, container.image, now)
        except NotFound as error:
            self._note_missing_image(container, str(error), now)
            return
        if arrival.is_first or arrival.at > now:
            events.normal(self.pod, "Pulling", f'Pulling image "{container.image}"', container)
            self._pulls[container.name] = arrival.pull_s
        self._note(container, dataclasses.replace(record, pulled_at=arrival.at, pull_failures=0))

    def _note_missing_image(self, container: Container, why: str, now: float) -> None:
        events, record = self.services.events, self.state.records[container.name]
        events.normal(self.pod, "Pulling", f'Pulling image "{container.image}"', container)
        events.warning(self.pod, "Failed", f'Failed to pull image "{container.image}": {why}', container)
        events.warning(self.pod, "Failed", "Error: ErrImagePull", container)
        failures = record.pull_failures + 1
        delay_s = self.services.back_off.delay_s(failures)
        waiting = record.waits("ErrImagePull", why, not_before=now + delay_s / 4)
        self._note(container, dataclasses.replace(waiting, pull_failures=failures, pull_retry_at=now + delay_s))

    def _start(self, container: Container) -> None:
        events, record = self.services.events, self.state.records[container.name]
        pull_s = self._pulls.pop(container.name, None)
        if pull_s is not None:
            told = f'Successfully pulled image "{container.image}" in {pull_s:.3g}s (simulated by the scenario)'
            events.normal(self.pod, "Pulled", told, container)
        elif not (isinstance(record.state, Waiting) and record.state.reason == _WAITING_FOR_CONFIG):
            told = f'Container image "{container.image}" already present on machine'
            events.normal(self.pod, "Pulled", told, container)
        instance, now = record.instance + 1, self.services.now()
        begun = dataclasses.replace(record, instance=instance, restarts=record.restarts + (record.instance > 0))
        try:
            live = self.runtime.start(container, instance, self._lookup)
        except Unresolved as error:
            events.warning(self.pod, "Failed", f"Error: {error}", container)
            retry_at = now + _CONFIG_RETRY_S / self.services.back_off.speed
            self._note(container, record.waits(_WAITING_FOR_CONFIG, str(error), not_before=retry_at))
            return
        except (StartFailed, OSError, ClusterError) as error:
            events.warning(self.pod, "Failed", f"Error: {error}", container)
            ended = Ended(_START_FAILED, "StartError", now, now, f"failed to start container: {error}")
            back_off = self.services.back_off
            self._note(container, decisions.exited(self.pod, container, begun, ended, back_off))
            return
        self._live[container.name] = live
        self._note(container, begun.started(container, self.services.now()))
        events.normal(self.pod, "Created", f"Container created: {container.name}", container)
        events.normal(self.pod, "Started", f"Container started: {container.name}", container)
        self._aside(lambda: self.inbox.put(Exited(live, *runtime.wait(live.process))))

    def _probe(self, container: Container, kind: ProbeKind) -> None:
        live, probe = self._live[container.name], container.probes[kind]
        self._note(container, self.state.records[container.name].probing(kind))
        self._aside(lambda: self.inbox.put(Probed(live, kind, live.target.ask(probe.action, probe.timeout_s))))

    def _stop(self, container: Container, kill_at: float, why: str) -> None:
        live, record = self._live[container.name], self.state.records[container.name]
        self._note(container, dataclasses.replace(record, kill_at=kill_at))
        told = why if container.name in why else f"{why} {container.name}"
        self.services.events.normal(self.pod, "Killing", told, container)
        if container.pre_stop:
            self._aside(lambda: self._hook_then_term(container, live, kill_at))
        else:
            live.process.send(signal.SIGTERM)

    def _hook_then_term(self, container: Container, live: Live, kill_at: float) -> None:
        outcome = live.target.ask(container.pre_stop, max(0.0, kill_at - self.services.now()))
        if not outcome.success:
            self.services.events.warning(self.pod, "FailedPreStopHook", outcome.message, container)
        live.process.send(signal.SIGTERM)

    def _note_exit(self, exit_: Exited) -> None:
        container = exit_.live.target.container
        if self._live.get(container.name) is not exit_.live:
            return
        del self._live[container.name]
        record, now = self.state.records[container.name], self.services.now()
        started_at = record.state.started_at if isinstance(record.state, Running) else now
        reason = "Completed" if exit_.exit_code == 0 else "Error"
        if exit_.out_of_memory and exit_.exit_code == _OOM:
            reason = "OOMKilled"
        message = self.runtime.ended(exit_.live, exit_.exit_code)
        ended = Ended(exit_.exit_code, reason, started_at, now, message)
        after = decisions.exited(self.pod, container, record, ended, self.services.back_off)
        if isinstance(after.state, Waiting):
            told = f"Back-off restarting failed container {container.name} in pod {self.pod.full_name}"
            self.services.events.warning(self.pod, "BackOff", told, container)
        self._note(container, after)

    def _note_probe(self, probed: Probed) -> None:
        container = probed.live.target.container
        record = self.state.records[container.name]
        if self._live.get(container.name) is not probed.live or not isinstance(record.state, Running):
            return
        if not probed.outcome.success:
            told = f"{probed.kind.capitalize()} probe failed: {probed.outcome.message}"
            self.services.events.warning(self.pod, "Unhealthy", told, container)
        probe = container.probes[probed.kind]
        after = record.probed(probed.kind, probe, success=probed.outcome.success, now=self.services.now())
        self._note(container, after)

    def _release(self) -> None:
        self.runtime.release()
        self.state = dataclasses.replace(self.state, is_released=True)

    def _remove(self) -> None:
        if self._retry_at is not None and self.services.now() < self._retry_at:
            self._receive(None)
            return
        if not self.state.is_released:
            self._release()
        if not self.state.is_gone:
            self._publish()
            try:
                self.services.api.let_go(self.pod)
            except ClusterError as error:
                _log.warning("pod %s is not let go yet: %s", self.pod.full_name, error)
                self._retry_at = self.services.now() + _API_RETRY_S
                return
        self.services.machine.logs.remove(self.pod.uid)
        self.is_over = True

    def _publish(self) -> None:
        """Tell the API server what has changed, if anything has."""
        if self.state.is_gone or self.is_over or self._was_finished:
            return
        now = self.services.now()
        place = status.Place(self.runtime.address, self.services.machine.config.address, self._started_at)
        built = status.build(self.pod, self.state, place, self._conditions, now)
        self._conditions = status.conditions_of(built)
        document = json.dumps(built, sort_keys=True)
        if document == self._published or (self._retry_at is not None and now < self._retry_at):
            return
        try:
            self.services.api.patch_status(self.pod, built)
            self._published, self._retry_at = document, None
        except ClusterError as error:
            _log.warning("the status of pod %s is not taken: %s", self.pod.full_name, error)
            self._retry_at = now + _API_RETRY_S

    def _container(self, name: str) -> Container:
        return next(c for c in self.pod.all_containers if c.name == name)

    def _note(self, container: Container, record: Any) -> None:
        self.state = self.state.with_record(container.name, record)

    def _lookup(self, kind: StoreKind, name: str) -> Mapping[str, Any] | None:
        return self.services.api.store(kind, name, self.pod.namespace)

    def _token(self, audience: str, lifetime_s: int) -> str:
        return self.services.api.token(self.pod, audience, lifetime_s)

    def _aside(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"aside of {self.pod.name}", daemon=True).start()


_WAITING_FOR_CONFIG = "CreateContainerConfigError"
