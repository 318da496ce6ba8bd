"""A start that comes to nothing leaves nothing behind, so that the next one meets an empty place; so does an end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cluster.rehearsal import scenario
from cluster.rehearsal.kubelet.config import Config, Image
from cluster.rehearsal.kubelet.machine.cgroup import Cgroups
from cluster.rehearsal.kubelet.machine.logs import Logs
from cluster.rehearsal.kubelet.machine.network import Addresses, Bridge
from cluster.rehearsal.kubelet.machine.probe import Target
from cluster.rehearsal.kubelet.machine.process import Process, StartFailed
from cluster.rehearsal.kubelet.machine.runtime import Live, Machine, Runtime
from cluster.rehearsal.kubelet.machine.sandbox import Sandbox
from cluster.rehearsal.kubelet.pod.fields import Unresolved
from cluster.rehearsal.kubelet.pod.files import Sources
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


@pytest.fixture
def ended(machine: Machine) -> Callable[[bytes, str], str]:
    """The last words of a container that failed with these in its file and those in its log."""

    def end(written: bytes, said: str) -> str:
        made = pod(container(terminationMessagePolicy="FallbackToLogsOnError"))
        folder, temporary = machine.config.home / "c-1", machine.config.home / "tmp"
        folder.mkdir(parents=True)
        (folder / "termination").write_bytes(written)
        machine.logs.new(made.uid, "c", 1).write_text(said)
        target = Target(made.containers[0], ADDRESS, cast(Process, None), {}, (0, 0))
        return Runtime(machine, made, "n1", {}, ADDRESS).ended(Live(target, folder, temporary), 1)

    return end


def test_the_last_words_are_the_end_of_what_was_written(ended: Callable[[bytes, str], str]) -> None:
    assert ended(b"a" * 4096 + b"why", "log") == "a" * 4093 + "why"


@pytest.mark.parametrize(
    ("said", "last"),
    [
        ("a" * 4096 + "why", "a" * 2045 + "why"),
        ("".join(f"{line}\n" for line in range(100)), "".join(f"{line}\n" for line in range(20, 100))),
    ],
)
def test_without_any_they_are_the_end_of_the_log_as_far_as_a_kubelet_reads_it(
    ended: Callable[[bytes, str], str], said: str, last: str
) -> None:
    assert ended(b"", said) == last


def test_a_network_is_given_back_once_though_its_address_is_another_pods_by_then(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    detached: list[str] = []
    monkeypatch.setattr(Bridge, "attach", lambda _, address: address)
    monkeypatch.setattr(Bridge, "detach", lambda _, address: detached.append(address))
    monkeypatch.setattr(Sandbox, "make", lambda *_: None)
    runtime = Runtime(machine, pod(), "n1", {})
    runtime.prepare(Sources(runtime.fields, lambda *_: None, lambda *_: ""))
    for _ in range(2):
        runtime.release()
    assert runtime.address
    assert detached == [runtime.address]
