"""The lab itself, in real namespaces with the real programs; without the kubelet, which has tests of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster import kustomize
from cluster.client import Api, Collection, Resource
from cluster.errors import ClusterError, Refused
from cluster.objects import dig, mappings
from cluster.rehearsal import addresses, build, control, first_state, scenario
from cluster.rehearsal import lab as lab_module
from cluster.rehearsal.build import Built
from cluster.rehearsal.lab import Lab, Running
from cluster.rehearsal.namespaces import refuse_without_namespaces
from cluster.rehearsal.scenario import Scenario
from cluster.settings import Settings, from_environment

ROOT = Path(__file__).parents[3]
WITHOUT = ("kubelet",)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return from_environment()


@pytest.fixture(scope="module")
def built(settings: Settings) -> Built:
    try:
        refuse_without_namespaces()
        found = build.find(settings.cache_dir)
    except Refused as reason:
        pytest.skip(str(reason))
    pid = control.holder()
    if pid is not None:
        pytest.skip(f"a lab runs on this machine (pid {pid}), and there can be only one")
    return found


@pytest.fixture(scope="module")
def world() -> Scenario:
    field = scenario.read("field").to_json()
    return Scenario.from_json({**field, "speed": 20, "absent": WITHOUT})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, settings: Settings, built: Built, world: Scenario) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("cache") / "lab")
    lab.up(built, settings.environment, world)
    yield lab
    lab.down()


@pytest.fixture
def running(lab: Lab) -> Running:
    found = lab.status()
    assert found is not None
    return found


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.cluster
def test_every_component_runs_but_the_absent_one_and_the_api_server_answers_from_outside(running: Running) -> None:
    states = {part.name: part.state for part in running.parts}
    assert states.pop("kubelet") == "absent"
    assert set(states.values()) == {"running"}
    assert {"etcd", "kube-apiserver", "karpenter", "kuberay-operator", "kwok", "ec2", "forward"} <= set(states)
    assert all(part.pid and alive(part.pid) for part in running.parts if part.state == "running")
    assert Api.connect(running.kubeconfig).resource("ray.io/v1", "RayService") is not None


@pytest.mark.cluster
def test_a_second_lab_is_refused_with_the_first_ones_pid(
    lab: Lab, running: Running, built: Built, settings: Settings, world: Scenario, tmp_path: Path
) -> None:
    other = Lab(tmp_path / "lab")
    with pytest.raises(Refused, match=rf"runs already on this machine \(pid {running.pid}\)"):
        other.up(built, settings.environment, world)
    assert other.status() is None
    with pytest.raises(Refused, match=f"of {lab.home}, not of {other.home}"):
        other.down()


NEURON_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "neuron", "namespace": "default"},
    "spec": {
        "nodeSelector": {"neuron.amazonaws.com/neuron-device": "true"},
        "tolerations": [{"key": "aws.amazon.com/neuron", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [
            {
                "name": "main",
                "image": "chatbot-neuron:rehearsal",
                "resources": {"limits": {"aws.amazon.com/neuroncore": "2", "cpu": "6", "memory": "26Gi"}},
            }
        ],
    },
}


@pytest.mark.cluster
def test_our_pools_turn_ready_and_a_neuron_pod_gets_one_trn1_node_that_is_ready_and_has_no_devices_yet(
    running: Running,
) -> None:
    api = Api.connect(running.kubeconfig)
    pools = kustomize.build(ROOT / "manifests" / "nodepools").fill(
        {"EKS_CLUSTER_NAME": addresses.CLUSTER, "KARPENTER_NODE_ROLE": addresses.NODE_ROLE}
    )
    for manifest in pools:
        api.apply(manifest.value, kind(api, manifest.api_version, manifest.kind))
    for version, name in (("karpenter.k8s.aws/v1", "EC2NodeClass"), ("karpenter.sh/v1", "NodePool")):
        ready = until(api, version, name, lambda found: len(found) == 2 and all(map(is_ready, found)))
        assert {item["metadata"]["name"] for item in ready} == {"trainium-trn1", "x86-cpu-karpenter"}
    # The scheduler ran into a service account that the controllers make in the namespace's first moments.
    until(api, "v1", "ServiceAccount", lambda found: any(i["metadata"]["namespace"] == "default" for i in found))
    api.apply(NEURON_POD, kind(api, "v1", "Pod"))
    (claim,) = until(api, "karpenter.sh/v1", "NodeClaim", lambda found: len(found) == 1 and named_a_node(found[0]))
    assert claim["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "trn1.2xlarge"
    assert claim["metadata"]["labels"]["topology.kubernetes.io/zone"] == "us-east-1c"
    (node,) = until(api, "v1", "Node", lambda found: len(found) == 1 and is_ready(found[0]))
    assert not [name for name in node["status"]["allocatable"] if name.startswith("aws.amazon.com/")]
    assert node["status"]["allocatable"]["cpu"] == "7910m"
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == addresses.KUBELET_PORT
    api.delete(until(api, "v1", "Pod", bool)[0], kind(api, "v1", "Pod"))
    for item in until(api, "karpenter.sh/v1", "NodePool", bool):
        api.delete(item, kind(api, "karpenter.sh/v1", "NodePool"))
    assert until(api, "v1", "Node", lambda found: not found) == []


def kind(api: Api, version: str, name: str) -> Resource:
    found = api.resource(version, name)
    assert found is not None
    return found


def until(
    api: Api, version: str, name: str, holds: Callable[[list[Mapping[str, Any]]], bool]
) -> list[Mapping[str, Any]]:
    """The objects of a kind as soon as they are as wanted."""
    deadline = time.monotonic() + 120
    for found in Collection(api, kind(api, version, name)).follow():
        if holds(found):
            return found
        assert time.monotonic() < deadline, found
    raise AssertionError("a collection is followed for ever")


def is_ready(item: Mapping[str, Any]) -> bool:
    conditions = mappings(dig(item, "status", "conditions"))
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def named_a_node(claim: Mapping[str, Any]) -> bool:
    return bool(dig(claim, "status", "nodeName"))


@pytest.mark.cluster
def test_a_component_that_dies_is_noticed_and_one_that_is_stopped_is_told_from_it(lab: Lab, running: Running) -> None:
    kwok = next(part for part in running.parts if part.name == "kwok")
    assert kwok.pid is not None
    os.kill(kwok.pid, signal.SIGKILL)
    with Wait() as wait:
        while (found := lab.status()) is not None and found.is_healthy:
            wait()
    assert found is not None
    assert next(part for part in found.parts if part.name == "kwok").exit_code == -signal.SIGKILL
    lab.stop_component("kwok")
    stopped = lab.status()
    assert stopped is not None
    assert stopped.is_healthy
    lab.restart_component("kwok")


@pytest.mark.cluster
def test_a_lab_ends_with_its_starter_even_when_that_is_killed(
    lab: Lab, running: Running, settings: Settings, tmp_path: Path
) -> None:
    lab.down()
    assert not lab.home.exists()
    assert not any(alive(part.pid) for part in running.parts if part.pid)
    world = {**running.scenario.to_json(), "absent": ["kubelet", "karpenter", "kuberay-operator", "kwok", "forward"]}
    program = f"""
import sys, time
from pathlib import Path
from cluster.rehearsal.build import Built
from cluster.rehearsal.lab import Lab
from cluster.rehearsal.scenario import Scenario
from cluster.settings import from_environment
settings = from_environment()
lab = Lab(Path({str(tmp_path / "lab")!r}))
lab.up(Built(settings.cache_dir / "rehearsal"), settings.environment, Scenario.from_json({world!r}))
print(lab.status().pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    with Wait() as wait:
        while alive(pid) or control.holder() is not None:
            wait()


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_lab_that_does_not_answer_is_ended_by_its_starter_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_ours: bool
) -> None:
    def say_nothing(*_: object, **__: object) -> None:
        raise control.Silent("The rehearsal's lab is starting or ending at the moment: try again.")

    monkeypatch.setattr(control, "ask", say_nothing)
    monkeypatch.setattr(lab_module, "_CGROUPS", tmp_path / "cgroups")
    (tmp_path / "lab").mkdir()
    theirs, lifeline = os.pipe()
    with subprocess.Popen(["cat"], stdin=theirs) as supervisor:  # it ends when the lifeline is let go
        os.close(theirs)
        lab = Lab(tmp_path / "lab", lifeline, supervisor if is_ours else None)
        if is_ours:
            lab.down()
        else:
            with pytest.raises(control.Silent):
                lab.down()
            os.close(lifeline)
    assert lab.home.exists() is not is_ours


@pytest.mark.parametrize("command", [Lab.stop_component, Lab.restart_component])
def test_a_lab_that_has_ended_is_told_nothing_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[Lab, str], None]
) -> None:
    monkeypatch.setattr(control, "ask", lambda *_, **__: None)
    with pytest.raises(ClusterError, match="The lab has ended: kwok cannot be told to"):
        command(Lab(tmp_path), "kwok")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lab:
    """A lab on a machine on which none runs, where everything is allowed and no program is there."""
    monkeypatch.setattr(lab_module, "_CGROUPS", tmp_path / "cgroups")
    monkeypatch.setattr(lab_module, "refuse_without_namespaces", lambda: None)
    monkeypatch.setattr(lab_module, "host_pids", lambda _: {})
    monkeypatch.setattr(control, "take", lambda: socket.create_server(("127.0.0.1", 0)))
    monkeypatch.setattr(control, "holder", lambda: 1)
    monkeypatch.setattr(control, "ask", lambda *_, **__: {"home": str(tmp_path / "lab"), "components": []})
    return Lab(tmp_path / "lab")


def test_a_lab_that_ends_just_when_it_is_to_stand_says_so_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, alone: Lab, world: Scenario
) -> None:
    monkeypatch.setattr(lab_module, "UNSHARE", ["true"])
    monkeypatch.setattr(first_state, "of", lambda *_: alone.home)
    monkeypatch.setattr(Lab, "_wait", lambda _, process: process.wait())
    with pytest.raises(ClusterError, match=f"ended as soon as it had started; {alone.logs} has the logs"):
        alone.up(Built(alone.home), {}, world, standing=True)


def test_a_lab_whose_first_state_cannot_be_made_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, alone: Lab, world: Scenario
) -> None:
    def fail(*_: object) -> Path:
        raise ClusterError("etcd does not start")

    monkeypatch.setattr(first_state, "of", fail)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ClusterError, match="etcd does not start"):
        alone.up(Built(alone.home), {}, world)
    assert os.listdir("/proc/self/fd") == before


class Wait:
    """Looking again, for at most as long as a lab may take to end."""

    def __enter__(self) -> Wait:
        self._deadline = time.monotonic() + lab_module.STOP_TIMEOUT_S
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self) -> None:
        assert time.monotonic() < self._deadline
        os.sched_yield()
