"""A control plane that outlives the command that started it: started by `up`, found by `status`, ended by `down`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError, Refused
from cluster.rehearsal.build import Built
from cluster.rehearsal.control_plane import ControlPlane

STOP_GRACE_S = 10.0
_STATE = "processes.json"
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """One program by pid and start time, so that a pid that was given to somebody else is never taken for it."""

    name: str
    pid: int
    started_ticks: int  # since boot

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return _started_ticks(self.pid) == self.started_ticks


@dataclass(frozen=True, slots=True)
class Lab:
    """The one control plane of this user, in a folder of the cache."""

    home: Path

    @property
    def kubeconfig(self) -> Path:
        """For its administrator."""
        return self.home / "admin.kubeconfig"

    def processes(self) -> list[Process]:
        """What `up` has started, alive or not; nothing after `down`."""
        try:
            entries = json.loads((self.home / _STATE).read_text("utf-8"))
        except FileNotFoundError:
            return []
        return [Process(**entry) for entry in entries]

    def up(self, built: Built, environment: Mapping[str, str], prepare: Callable[[Path], None]) -> None:
        """Start it and return when it is ready; nothing happens where it runs already.

        Raises Refused where only a part of it runs, ClusterError where it does not start.
        """
        known = self.processes()
        if known and all(process.is_alive for process in known):
            return
        if any(process.is_alive for process in known):
            raise Refused("A part of the rehearsal's control plane has ended; run: python -m cluster rehearsal down")
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        plane = ControlPlane(built, self.home, environment=environment, outlive_starter=True)
        plane.start(prepare)
        started = [Process(name, pid, _started_ticks(pid)) for name, pid in plane.pids().items()]
        text = json.dumps([{"name": p.name, "pid": p.pid, "started_ticks": p.started_ticks} for p in started])
        (self.home / _STATE).write_text(text, "utf-8")

    def down(self) -> None:
        """End its programs, the last one started first, and remove its folder. Idempotent."""
        for process in reversed(self.processes()):
            _stop(process)
        shutil.rmtree(self.home, ignore_errors=True)


def _stop(process: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_GRACE_S
        if process.is_alive:
            os.kill(process.pid, number)
        while process.is_alive and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    if process.is_alive:
        raise ClusterError(f"{process.name} (pid {process.pid}) does not end.")


def _started_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat; 0 for a process that is gone or only waits to be reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2].split()
    except OSError:
        return 0
    return 0 if after_name[0] == "Z" else int(after_name[19])
