from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.targets.local import processes
from cluster.targets.local.processes import MARK, Leader, Process

STUBBORN = "import signal,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
OBEDIENT = "import time; print(flush=True); time.sleep(60)"


def process(pid: int, *, session: int, marks: tuple[str, ...] = (), started_ticks: int = 5) -> Process:
    return Process(pid, session, started_ticks, "title", marks)


def pids(found: list[Process]) -> list[int]:
    return [one.pid for one in found]


def test_marked_processes_are_ours_and_others_are_not() -> None:
    alive = [process(11, session=11, marks=("/a",)), process(12, session=12, marks=("/b",)), process(13, session=13)]
    assert pids(processes.ours(alive, "/a")) == [11]


def test_a_process_that_lost_its_mark_is_known_by_its_session() -> None:
    alive = [process(11, session=11, marks=("/a",)), process(12, session=11)]
    assert pids(processes.ours(alive, "/a")) == [11, 12]


def test_the_session_of_this_process_is_never_ours() -> None:
    own = os.getsid(0)
    alive = [process(11, session=own, marks=("/a",)), process(12, session=own)]
    assert pids(processes.ours(alive, "/a")) == [11]


def test_a_dead_leaders_session_is_ours_by_the_record() -> None:
    alive = [process(12, session=11)]
    assert processes.ours(alive, "/a") == []
    assert pids(processes.ours(alive, "/a", Leader(11, 5))) == [12]


def test_a_leader_whose_pid_was_given_anew_is_not_ours() -> None:
    alive = [process(11, session=11, started_ticks=99), process(12, session=11)]
    assert processes.ours(alive, "/a", Leader(11, 5)) == []


@contextmanager
def child(code: str, mark: str) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        [sys.executable, "-c", code], env={MARK: mark}, stdout=subprocess.PIPE, start_new_session=True
    )
    assert started.stdout is not None
    started.stdout.readline()
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def reaping(started: subprocess.Popen[bytes], mark: str) -> Callable[[], list[Process]]:
    """What `end` looks for; a child of this process has to be waited for before it is gone."""

    def find() -> list[Process]:
        started.poll()
        return processes.ours(processes.snapshot(), mark)

    return find


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """Which no other run of these tests on this machine has."""
    return str(tmp_path)


@pytest.mark.parametrize(("code", "number"), [(OBEDIENT, signal.SIGTERM), (STUBBORN, signal.SIGKILL)])
def test_end_asks_first_and_kills_what_stays(mark: str, code: str, number: signal.Signals) -> None:
    with child(code, mark) as started:
        assert processes.end(reaping(started, mark), grace_s=0.3) == 1
        assert started.wait() == -number


def test_end_asks_first_though_looking_took_longer_than_their_grace(mark: str) -> None:
    with child(OBEDIENT, mark) as started:
        find = reaping(started, mark)

        def find_slowly() -> list[Process]:
            found = find()
            time.sleep(0.02)
            return found

        processes.end(find_slowly, grace_s=0.01)
        assert started.wait() == -signal.SIGTERM


def test_end_names_what_cannot_be_ended(mark: str) -> None:
    with child(STUBBORN, mark) as started, pytest.raises(TimeoutError, match=str(started.pid)):
        processes.end(reaping(started, mark), grace_s=60, limit_s=0.3)


def test_a_process_that_is_gone_reads_as_none(mark: str) -> None:
    with child(OBEDIENT, mark) as started:
        read = processes.read(started.pid)
        assert read is not None
        assert read.marks == (mark,)
    assert processes.read(started.pid) is None
