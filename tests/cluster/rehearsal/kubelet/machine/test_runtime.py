"""A start that comes to nothing leaves nothing behind, so that the next one meets an empty place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.rehearsal import scenario
from cluster.rehearsal.kubelet.config import Config, Image
from cluster.rehearsal.kubelet.machine.cgroup import Cgroups
from cluster.rehearsal.kubelet.machine.logs import Logs
from cluster.rehearsal.kubelet.machine.network import Addresses, Bridge
from cluster.rehearsal.kubelet.machine.process import StartFailed
from cluster.rehearsal.kubelet.machine.runtime import Machine, Runtime
from cluster.rehearsal.kubelet.pod.fields import Unresolved
from tests.support.kubelet_pods import container, pod

ADDRESS = "10.88.15.254"  # no pod here has it: its network namespace is not there


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    config = Config(
        home=tmp_path / "kubelet",
        kubeconfig=tmp_path / "kubeconfig",
        address="10.88.7.1",
        bridge="lab0",
        pod_network="10.88.8.0/21",
        api_server="https://10.88.7.1:6443",
        certificate=tmp_path / "crt",
        key=tmp_path / "key",
        images={"app:1": Image(())},
        scenario=scenario.read("field"),
    )
    (tmp_path / "groups").mkdir()
    return Machine(
        config=config,
        bridge=Bridge("lab0", config.address, 16),
        addresses=Addresses(config.pod_network),
        cgroups=Cgroups(tmp_path / "groups", is_v2=False),
        logs=Logs(tmp_path / "logs"),
        mount_points=["/"],
        cluster_environment={},
    )


@pytest.fixture
def try_to_start(machine: Machine) -> Callable[..., None]:
    def start(**spec: Any) -> None:
        made = pod(container(), **spec)
        Runtime(machine, made, "n1", {}, ADDRESS).start(made.containers[0], 1, lambda _kind, _name: None)

    return start


def left(machine: Machine) -> list[Path]:
    sandbox = machine.sandbox(pod(), ADDRESS)
    places = (sandbox.memory / "containers", sandbox.disk / "tmp", machine.cgroups.parent if machine.cgroups else None)
    return [path for place in places if place is not None for path in place.glob("*")]


def test_what_cannot_be_resolved_is_said_again_at_the_next_try(
    machine: Machine, try_to_start: Callable[..., None]
) -> None:
    for _ in range(2):
        with pytest.raises(Unresolved, match="runAsNonRoot"):
            try_to_start(securityContext={"runAsNonRoot": True})
    assert left(machine) == []


def test_a_command_that_does_not_start_leaves_neither_folders_nor_group(
    machine: Machine, try_to_start: Callable[..., None]
) -> None:
    for _ in range(2):
        with pytest.raises(StartFailed, match=f"pod-{ADDRESS}: No such file or directory"):
            try_to_start()
    assert left(machine) == []
