from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.rehearsal.component import Component
from cluster.rehearsal.processes import Processes
from cluster.rehearsal.supervisor import Supervisor

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    components = [Component(name, SLEEP, {}, lambda: True) for name in ("kwok", "karpenter")]
    return Supervisor({part.name: part for part in components}, ("kubelet",), Processes(tmp_path))


def states(supervisor: Supervisor) -> dict[str, str]:
    return {part["name"]: part["state"] for part in supervisor.status()["components"]}


def test_a_component_that_ends_by_itself_is_told_from_one_that_was_stopped(supervisor: Supervisor) -> None:
    supervisor.start()
    assert states(supervisor) == {"kwok": "running", "karpenter": "running", "kubelet": "absent"}
    pid = supervisor.processes.pids()["kwok"]
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    supervisor.stop("karpenter")
    assert states(supervisor) == {"kwok": "ended", "karpenter": "stopped", "kubelet": "absent"}
    assert supervisor.status()["components"][0]["exit_code"] == -9
    supervisor.restart("kwok")
    supervisor.restart("karpenter")
    assert states(supervisor) == {"kwok": "running", "karpenter": "running", "kubelet": "absent"}
    supervisor.processes.stop_all()


def test_a_name_that_is_no_component_is_refused_with_those_that_are(supervisor: Supervisor) -> None:
    with pytest.raises(ClusterError, match="no component 'kubelt': it has kwok, karpenter"):
        supervisor.stop("kubelt")


def test_a_component_whose_restart_fails_is_not_said_to_run(tmp_path: Path) -> None:
    def refuse() -> None:
        raise OSError("No space left on device")

    broken = Component("kwok", SLEEP, {}, lambda: True, prepare=refuse)
    supervisor = Supervisor({"kwok": broken}, (), Processes(tmp_path))
    with pytest.raises(OSError, match="No space left"):
        supervisor.restart("kwok")
    assert states(supervisor) == {"kwok": "ended"}
