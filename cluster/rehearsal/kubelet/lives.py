"""The running containers of one pod: what takes time happens in threads, whose outcomes are messages to the worker."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.rehearsal.kubelet.machine import runtime
from cluster.rehearsal.kubelet.machine.probe import Outcome
from cluster.rehearsal.kubelet.machine.runtime import Live, Runtime
from cluster.rehearsal.kubelet.messages import Exited, HookFailed, Message, Probed
from cluster.rehearsal.kubelet.pod.environment import Lookup
from cluster.rehearsal.kubelet.pod.spec import Container, Object, ProbeKind


@dataclass(slots=True)
class Lives:
    """By container. Only the worker's thread calls this; containers end with that thread."""

    runtime: Runtime
    tell: Callable[[Message], None]
    now: Callable[[], float]
    _live: dict[str, Live] = field(default_factory=dict)

    def start(self, container: Container, instance: int, lookup: Lookup) -> None:
        """Return when its command runs; its end will be told. Raises as `Runtime.start`."""
        live = self.runtime.start(container, instance, lookup)
        self._live[container.name] = live
        _aside(lambda: self._wait(live))

    def probe(self, container: Container, kind: ProbeKind) -> None:
        """Ask; the answer will be told."""
        live, probe = self._live[container.name], container.probes[kind]
        _aside(lambda: self.tell(Probed(live, kind, _asked(live, probe.action, probe.timeout_s))))

    def stop(self, container: Container, kill_at: float) -> None:
        """Run its hook, which may take until `kill_at`, then send TERM."""
        live = self._live[container.name]
        if container.pre_stop:
            _aside(lambda: self._hook_then_term(live, kill_at))
        else:
            live.process.send(signal.SIGTERM)

    def kill(self, container: str) -> None:
        """End it now."""
        self._live[container].process.kill()

    def is_current(self, live: Live) -> bool:
        """Whether that is what runs now: news of an earlier process is old."""
        return self._live.get(live.target.container.name) is live

    def bury(self, exited: Exited) -> str:
        """Forget it; what it left as its last words."""
        del self._live[exited.live.target.container.name]
        return self.runtime.ended(exited.live, exited.exit_code)

    def _wait(self, live: Live) -> None:
        code = live.process.wait()
        group = live.process.group
        self.tell(Exited(live, code, out_of_memory=group is not None and group.oom_kills() > 0))
        if group is not None:
            runtime.remove(group)

    def _hook_then_term(self, live: Live, kill_at: float) -> None:
        outcome = _asked(live, live.target.container.pre_stop, max(0.0, kill_at - self.now()))
        if not outcome.success:
            self.tell(HookFailed(live, outcome))
        live.process.send(signal.SIGTERM)


def _asked(live: Live, action: Object, timeout_s: float) -> Outcome:
    try:
        return live.target.ask(action, timeout_s)
    except Exception as error:  # noqa: BLE001 - the worker waits for an outcome, whatever it is
        return Outcome(success=False, message=f"{type(error).__name__}: {error}")


def _aside(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()
