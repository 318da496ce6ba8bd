"""Our processes and nobody else's: found by a mark in their environment, and by the session that it leads to.

Some of Ray's processes write their title over their environment; they share the session of those that carry the mark.
Signals go to a file descriptor of the process, so that a pid that was given anew is never hit.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "CHATBOT_LOCAL_RUN"
PROC = Path("/proc")
GRACE_S = 4.0  # between SIGTERM and SIGKILL
LIMIT_S = 30.0  # a killed process that does not go hangs in the kernel
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as /proc shows it."""

    pid: int
    session: int  # pid of the session's leader
    started_ticks: int  # since boot
    title: str
    marks: tuple[str, ...] = ()  # values of MARK in its environment; none where that has been overwritten


@dataclass(frozen=True, slots=True)
class Leader:
    """Of the session that a deployment runs in; written down, so that it is known when it is dead, too."""

    pid: int
    started_ticks: int


def snapshot(proc: Path = PROC) -> list[Process]:
    """Every process of this user that is alive."""
    pids = [int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()]
    return [process for process in (read(pid, proc) for pid in pids) if process is not None]


def read(pid: int, proc: Path = PROC) -> Process | None:
    """One process; None when it is gone, or another user's."""
    entry = proc / str(pid)
    try:
        name, _, numbers = (entry / "stat").read_text(errors="replace").partition("(")[2].rpartition(")")
        title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    fields = numbers.split()
    if fields[0] in "ZX":
        return None
    marks = tuple(line.partition("=")[2] for line in environment if line.startswith(f"{MARK}="))
    return Process(pid, int(fields[3]), int(fields[19]), title or name, marks)


def ours(alive: Sequence[Process], mark: str, leader: Leader | None = None) -> list[Process]:
    """Those that carry the mark, and those of their sessions; never this process or its session."""
    sessions = {p.session for p in alive if mark in p.marks} - {os.getsid(0)}
    if leader is not None and _may_lead(leader, alive):
        sessions.add(leader.pid)
    return [p for p in alive if (mark in p.marks or p.session in sessions) and p.pid != os.getpid()]


def _may_lead(leader: Leader, alive: Sequence[Process]) -> bool:
    """The number of a dead leader is not given anew while its session lives; a live one must be the same process."""
    return all(p.pid != leader.pid or p.started_ticks == leader.started_ticks for p in alive)


def end(find: Callable[[], Sequence[Process]], *, grace_s: float = GRACE_S, limit_s: float = LIMIT_S) -> int:
    """Ask what `find` finds to end, kill what remains after `grace_s`, until nothing is found; how many there were.

    Raises TimeoutError, naming the pids, when some cannot be killed.
    """
    asked: set[int] = set()
    found, began_s = find(), time.monotonic()  # in this order: a slow look takes nothing of their grace
    while found:
        waited_s = time.monotonic() - began_s
        if waited_s > limit_s:
            raise TimeoutError(", ".join(str(process.pid) for process in found))
        for process in found:
            if waited_s > grace_s:
                _send(process, signal.SIGKILL)
            elif process.pid not in asked:
                _send(process, signal.SIGTERM)
        asked |= {process.pid for process in found}
        time.sleep(POLL_S)
        found = find()
    return len(asked)


def _send(process: Process, number: signal.Signals) -> None:
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:  # gone
        return
    try:
        now = read(process.pid)
        if now is not None and now.started_ticks == process.started_ticks:
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:  # gone meanwhile
        return
    finally:
        os.close(descriptor)


def sockets(pid: int, proc: Path = PROC) -> Iterator[int]:
    """Inodes of the sockets that a process holds; nothing for a process that is gone or not ours to see."""
    try:
        for descriptor in (proc / str(pid) / "fd").iterdir():
            target = os.readlink(descriptor)
            if target.startswith("socket:["):
                yield int(target[8:-1])
    except OSError:
        return
