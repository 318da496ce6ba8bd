"""One pod's worker: a thread that asks `decide` what to do, has it done on this machine and tells the API server.

It owns the pod's state. Everything else reaches it as a message, so that there is one order in which things happen.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cluster.errors import ClusterError
from cluster.rehearsal.kubelet.lives import Lives
from cluster.rehearsal.kubelet.machine.network import NetworkFailed
from cluster.rehearsal.kubelet.machine.process import StartFailed
from cluster.rehearsal.kubelet.machine.runtime import Runtime
from cluster.rehearsal.kubelet.machine.sandbox import MountFailed
from cluster.rehearsal.kubelet.messages import Exited, HookFailed, Message, Node, Probed, Seen, Services, Vanished
from cluster.rehearsal.kubelet.pod import decide as decisions
from cluster.rehearsal.kubelet.pod import pulling, status
from cluster.rehearsal.kubelet.pod.environment import StoreKind
from cluster.rehearsal.kubelet.pod.fields import Unresolved
from cluster.rehearsal.kubelet.pod.files import Sources
from cluster.rehearsal.kubelet.pod.pulling import Told
from cluster.rehearsal.kubelet.pod.refused import NotSimulated
from cluster.rehearsal.kubelet.pod.spec import Container, Pod
from cluster.rehearsal.kubelet.pod.state import Ended, PodState, Record, Running, Waiting, first_records

_START_FAILED = 128
_UNRESOLVED = "CreateContainerConfigError"
_LOOK_AGAIN_S = 10.0  # a kubelet's own rhythm for what the pod's spec refers to
_FIRST_PREPARE_RETRY_S, _LONGEST_PREPARE_RETRY_S = 0.5, 122.0  # a kubelet's for volumes
_API_RETRY_S = 2.0
_log = logging.getLogger(__name__)


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
    _lives: Lives = field(init=False)
    _conditions: status.Conditions = field(init=False)
    _published: str = ""
    _was_finished: bool = field(init=False)  # when it was taken up: its status is complete
    _thread: threading.Thread | None = None
    _seen: Seen | None = None
    _publish_at: float | None = None  # when a status is tried again that was not taken
    _let_go_at: float | None = None  # the same for the object's end

    def __post_init__(self) -> None:
        self._started_at = self.services.now()
        self._was_finished = self.pod.was_finished
        self.state = PodState(
            records=first_records(self.pod, self._started_at),
            node_is_ready=self.node.is_ready or self.pod.has_host_network,
            is_released=self._was_finished,
        )
        self.runtime = Runtime(self.services.machine, self.pod, self.node.uid, self.node.allocatable)
        self._lives = Lives(self.runtime, self.inbox.put, self.services.now)
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
            self._step_or_rest()

    def _step_or_rest(self) -> None:
        try:
            self._step()
        except Exception:  # noqa: BLE001 - a pod must not be stuck for ever by what nobody thought of
            _log.exception("pod %s is looked at again in %g s", self.pod.full_name, _API_RETRY_S)
            time.sleep(_API_RETRY_S)

    def _step(self) -> None:
        plan = decisions.decide(self.pod, self.state, self.services.now())
        for action in plan.actions:
            self._do(action)
        self._publish()
        if not plan.actions and not self.is_over:
            self._receive(plan.wake_at, self._publish_at)

    def _receive(self, *wake_at: float | None) -> None:
        """Take in the next message, if one comes before the first of these times."""
        times = [at for at in wake_at if at is not None]
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
            case Exited() if self._lives.is_current(message.live):
                self._note_exit(message)
            case Probed() if self._lives.is_current(message.live):
                self._note_probe(message)
            case HookFailed():
                told = Told("Warning", "FailedPreStopHook", message.outcome.message)
                self._tell(told, container=message.live.target.container)

    def _do(self, action: decisions.Action) -> None:
        match action:
            case decisions.Prepare():
                self._prepare()
            case decisions.Pull(name):
                self._pull(self._container(name))
            case decisions.Start(name):
                self._start(self._container(name))
            case decisions.RunProbe(name, kind):
                self._note(self._container(name), self.state.records[name].probing(kind))
                self._lives.probe(self._container(name), kind)
            case decisions.Stop(name, kill_at, why):
                self._stop(self._container(name), kill_at, why)
            case decisions.Kill(name):
                self._note(self._container(name), dataclasses.replace(self.state.records[name], is_killed=True))
                self._lives.kill(name)
            case decisions.Release():
                self._release()
            case decisions.Remove():
                self._remove()

    def _see(self, seen: Seen) -> None:
        self.state = self.state.shown(self.pod, seen.pod)
        self.pod = self.runtime.pod = seen.pod
        self.runtime.allocatable = seen.node.allocatable
        if seen.node.is_ready:
            self.state = dataclasses.replace(self.state, node_is_ready=True)

    def _prepare(self) -> None:
        try:
            self.runtime.prepare(Sources(self.runtime.fields, self._lookup, self._token))
            self.state = dataclasses.replace(self.state, is_prepared=True)
            return
        except (Unresolved, ClusterError) as error:
            self._tell(Told("Warning", "FailedMount", str(error)))
        except (NotSimulated, NetworkFailed, MountFailed, OSError) as error:
            self._tell(Told("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}"))
        failures = self.state.prepare_failures
        delay_s = min(_LONGEST_PREPARE_RETRY_S, _FIRST_PREPARE_RETRY_S * 2 ** min(failures, 10))
        not_before = self.services.now() + delay_s
        self.state = dataclasses.replace(self.state, prepare_failures=failures + 1, not_before=not_before)

    def _pull(self, container: Container) -> None:
        services, record = self.services, self.state.records[container.name]
        now = services.now()
        ask = partial(services.images.pull, self.node.uid, container.image, now)
        after, told = pulling.pull(record, container.image, ask, services.back_off, now)
        self._note(container, after)
        self._tell(*told, container=container)

    def _start(self, container: Container) -> None:
        record, now, back_off = self.state.records[container.name], self.services.now(), self.services.back_off
        if not (isinstance(record.state, Waiting) and record.state.reason == _UNRESOLVED):
            self._tell(pulling.arrived(record, container.image), container=container)
        begun = record.begins()
        try:
            self._lives.start(container, begun.instance, self._lookup)
        except (Unresolved, NotSimulated) as error:
            self._note(
                container, record.waits(_UNRESOLVED, str(error), not_before=now + _LOOK_AGAIN_S / back_off.speed)
            )
            self._tell(Told("Warning", "Failed", f"Error: {error}"), container=container)
        except (StartFailed, OSError, ClusterError) as error:
            ended = Ended(_START_FAILED, "StartError", now, now, f"failed to start container: {error}")
            self._note(container, decisions.exited(self.pod, container, begun, ended, back_off))
            self._tell(Told("Warning", "Failed", f"Error: {error}"), container=container)
        else:
            self._note(container, begun.started(container, self.services.now()))
            for reason in ("Created", "Started"):
                message = f"Container {reason.lower()}: {container.name}"
                self._tell(Told("Normal", reason, message), container=container)

    def _stop(self, container: Container, kill_at: float, why: str) -> None:
        self._note(container, dataclasses.replace(self.state.records[container.name], kill_at=kill_at))
        self._tell(Told("Normal", "Killing", why), container=container)
        self._lives.stop(container, kill_at)

    def _note_exit(self, exited: Exited) -> None:
        container, now = exited.live.target.container, self.services.now()
        record = self.state.records[container.name]
        started_at = record.state.started_at if isinstance(record.state, Running) else now
        ended = Ended(exited.exit_code, exited.reason, started_at, now, self._lives.bury(exited))
        after = decisions.exited(self.pod, container, record, ended, self.services.back_off)
        self._note(container, after)
        if isinstance(after.state, Waiting):
            message = f"Back-off restarting failed container {container.name} in pod {self.pod.full_name}"
            self._tell(Told("Warning", "BackOff", message), container=container)

    def _note_probe(self, probed: Probed) -> None:
        container, outcome = probed.live.target.container, probed.outcome
        record, probe = self.state.records[container.name], container.probes[probed.kind]
        self._note(container, record.probed(probed.kind, probe, success=outcome.success, now=self.services.now()))
        if not outcome.success:
            message = f"{probed.kind.capitalize()} probe failed: {outcome.message}"
            self._tell(Told("Warning", "Unhealthy", message), container=container)

    def _release(self) -> None:
        self.runtime.release()
        self.state = dataclasses.replace(self.state, is_released=True)

    def _remove(self) -> None:
        if self._let_go_at is not None and self.services.now() < self._let_go_at:
            self._receive(self._let_go_at)
            return
        if not self.state.is_released:
            self._release()
        if not self.state.is_gone:
            self._publish()
            try:
                self.services.api.let_go(self.pod)
            except ClusterError as error:
                _log.warning("pod %s is not let go yet: %s", self.pod.full_name, error)
                self._let_go_at = self.services.now() + _API_RETRY_S
                return
        self.services.machine.logs.remove(self.pod.uid)
        self.is_over = True

    def _publish(self) -> None:
        """Tell the API server what has changed, if anything has and it was not refused a moment ago."""
        if self.state.is_gone or self.is_over or self._was_finished:
            return
        now = self.services.now()
        place = status.Place(self.runtime.address, self.services.machine.config.address, self._started_at)
        built = status.build(self.pod, self.state, place, self._conditions, now)
        self._conditions = status.conditions_of(built)
        document = json.dumps(built, sort_keys=True)
        if document == self._published:
            self._publish_at = None
        elif self._publish_at is None or now >= self._publish_at:
            try:
                self.services.api.patch_status(self.pod, built)
                self._published, self._publish_at = document, None
            except ClusterError as error:
                _log.warning("the status of pod %s is not taken: %s", self.pod.full_name, error)
                self._publish_at = self.services.now() + _API_RETRY_S

    def _container(self, name: str) -> Container:
        return next(c for c in self.pod.all_containers if c.name == name)

    def _note(self, container: Container, record: Record) -> None:
        self.state = self.state.with_record(container.name, record)

    def _tell(self, *told: Told, container: Container | None = None) -> None:
        for event in told:
            self.services.events.tell_soon(self.pod, event, container)

    def _lookup(self, kind: StoreKind, name: str) -> Mapping[str, Any] | None:
        return self.services.api.store(kind, name, self.pod.namespace)

    def _token(self, audience: str, lifetime_s: int) -> str:
        return self.services.api.token(self.pod, audience, lifetime_s)
