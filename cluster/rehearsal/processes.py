"""Child processes that are started in order, watched, and ended in reverse: by their own handles, never by name."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.errors import ClusterError

GRACE_S = 10.0
_POLL_S = 0.05
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOG_TAIL_CHARACTERS = 1500
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Processes:
    """The children of one lab, each with a log file of its own under `logs`. They end with this process."""

    logs: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], sockets: Sequence[int] = ()
    ) -> None:
        """Start one; in a session of its own, so that a Ctrl-C at the terminal reaches only us and we end them.

        `sockets` are the descriptors that it inherits.
        """
        with (self.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                list(command),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
                pass_fds=sockets,
            )

    def wait_for(self, name: str, is_ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Return when `is_ready`. Raises ClusterError with the end of the log when `name` ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while True:
            ready = is_ready()
            code = self._running[name].poll()  # looked at after the answer, which may be another's
            if code is not None:
                raise ClusterError(f"{name} ended with exit code {code}:\n{self._log_tail(name)}")
            if ready:
                return
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} was not ready after {timeout_s:.0f} s:\n{self._log_tail(name)}")
            time.sleep(_POLL_S)

    def pids(self) -> dict[str, int]:
        """Of everything started, by name."""
        return {name: process.pid for name, process in self._running.items()}

    def exit_code(self, name: str) -> int | None:
        """None while it runs; minus the signal's number where one ended it."""
        return self._running[name].poll()

    def stop(self, name: str) -> None:
        """End one and wait; where it ignores a TERM for too long it is killed. Nothing happens where it is not known."""
        process = self._running.pop(name, None)
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        if process.returncode is None:
            _log.warning("%s is killed: it has not ended %.0f s after a TERM", name, GRACE_S)
            process.kill()
            process.wait()
        _log.info("%s is stopped", name)

    def stop_all(self) -> None:
        """End them in reverse order."""
        for name in reversed(list(self._running)):
            self.stop(name)

    def reap_others(self) -> None:
        """Bury the dead that were handed to us as process 1; our own children are left to their handles."""
        own = {process.pid for process in self._running.values()}
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if dead.si_pid in own:
                    for process in self._running.values():
                        process.poll()
                else:
                    os.waitpid(dead.si_pid, 0)

    def _log_tail(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text("utf-8", "replace")[-_LOG_TAIL_CHARACTERS:]


def _end_with_parent() -> None:
    """In the child: have the kernel kill it when the thread that started it is gone, also by a SIGKILL.

    No TERM: an API server waits for its etcd before it ends, which has ended then.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
