import sys
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.rehearsal.processes import Processes

ENVIRONMENT: dict[str, str] = {}


def test_a_child_that_ends_before_it_is_ready_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("etcd", [sys.executable, "-c", "raise SystemExit('no room on disk')"], environment=ENVIRONMENT)
    with pytest.raises(ClusterError, match=r"etcd ended with exit code 1:\nno room on disk"):
        processes.wait_for("etcd", lambda: False, timeout_s=30)
    processes.stop()


def test_stop_ends_what_was_started_and_may_be_called_twice(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    ready = tmp_path / "ready"
    program = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    processes.start("sleeper", [sys.executable, "-c", program], environment=ENVIRONMENT)
    processes.wait_for("sleeper", ready.exists, timeout_s=30)
    assert list(processes.pids()) == ["sleeper"]
    processes.stop()
    processes.stop()
    assert processes.pids() == {}
