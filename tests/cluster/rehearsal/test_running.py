"""The control plane that `rehearsal up` leaves running, with the real programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.client import Api
from cluster.errors import Refused
from cluster.rehearsal import build
from cluster.rehearsal.running import Lab, Process
from cluster.settings import CACHE_FOLDER, from_environment

ROOT = Path(__file__).parents[3]
PROGRAMS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]


def test_a_pid_that_somebody_else_has_by_now_is_not_taken_for_ours() -> None:
    assert not Process("etcd", os.getpid(), 1).is_alive


def test_where_nothing_was_started_nothing_is_ended(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "running")
    lab.down()
    assert lab.processes() == []


@pytest.mark.cluster
def test_it_outlives_its_starter_is_started_once_and_goes_completely(tmp_path: Path) -> None:
    settings = from_environment()
    try:
        built = build.find(settings.cache_dir)  # every program, as `up` wants it
    except Refused as reason:
        pytest.skip(str(reason))
    cache = tmp_path / CACHE_FOLDER / "rehearsal"
    cache.mkdir(parents=True)
    for path in built.cache.iterdir():
        (cache / path.name).symlink_to(path)
    lab = Lab(cache / "running")

    def rehearsal(verb: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cluster", "rehearsal", verb]
        environment = {**settings.environment, "XDG_CACHE_HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    try:
        assert rehearsal("up").stdout == f"{lab.kubeconfig}\n"
        processes = lab.processes()
        assert [process.name for process in processes] == PROGRAMS
        assert Api.connect(lab.kubeconfig).resource("ray.io/v1", "RayService") is not None
        assert rehearsal("up").returncode == 0
        assert lab.processes() == processes
        os.kill(processes[-1].pid, signal.SIGKILL)
        assert rehearsal("status").returncode == 1
        refused = rehearsal("up")
        assert (refused.returncode, "rehearsal down" in refused.stderr) == (2, True)
    finally:
        rehearsal("down")
    assert not any(process.is_alive for process in processes)
    assert not lab.home.exists()
