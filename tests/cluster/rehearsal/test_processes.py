import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.rehearsal.processes import Processes

ROOT = Path(__file__).parents[3]
ENVIRONMENT: dict[str, str] = {}


def test_a_child_that_ends_before_it_is_ready_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("etcd", [sys.executable, "-c", "raise SystemExit('no room on disk')"], environment=ENVIRONMENT)
    with pytest.raises(ClusterError, match=r"etcd ended with exit code 1:\nno room on disk"):
        processes.wait_for("etcd", lambda: False, timeout_s=30)
    processes.stop_all()


def test_a_child_that_has_ended_is_not_ready_whoever_answers_in_its_place(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("forward", [sys.executable, "-c", "raise SystemExit('no such module')"], environment=ENVIRONMENT)
    os.waitid(os.P_PID, processes.pids()["forward"], os.WEXITED | os.WNOWAIT)
    with pytest.raises(ClusterError, match=r"forward ended with exit code 1:\nno such module"):
        processes.wait_for("forward", lambda: True, timeout_s=30)
    processes.stop_all()


def test_stop_ends_what_was_started_and_may_be_called_twice(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    ready = tmp_path / "ready"
    program = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    processes.start("sleeper", [sys.executable, "-c", program], environment=ENVIRONMENT)
    processes.wait_for("sleeper", ready.exists, timeout_s=30)
    assert list(processes.pids()) == ["sleeper"]
    processes.stop_all()
    processes.stop_all()
    assert processes.pids() == {}


def test_what_was_started_ends_with_its_starter_however_that_ends(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(600)"
    starter = f"""
import os, sys, signal
from pathlib import Path
from cluster.rehearsal.processes import Processes
processes = Processes(Path({str(tmp_path)!r}))
processes.start("child", [sys.executable, "-c", {child!r}], environment={{}})
processes.wait_for("child", lambda: Path({str(pid)!r}).exists() and Path({str(pid)!r}).read_text() != "", timeout_s=60)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", starter], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while runs(int(pid.read_text())):
        assert time.monotonic() < deadline, "the child outlived its starter"
        os.sched_yield()


def runs(pid: int) -> bool:
    """False of one that has ended, whether or not somebody has buried it: that may happen between any two looks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
