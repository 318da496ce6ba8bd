"""One lab with a control plane, KWOK and the process kubelet; its nodes are made by the tests."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster import kustomize
from cluster.client import Api, Collection, Resource
from cluster.errors import Refused
from cluster.objects import dig, text
from cluster.rehearsal import build, control, scenario
from cluster.rehearsal.kubelet.api import NODES, PODS
from cluster.rehearsal.lab import Lab
from cluster.rehearsal.namespaces import refuse_without_namespaces
from cluster.rehearsal.programs import CONTROL_PLANE, KWOK
from cluster.rehearsal.scenario import Scenario
from cluster.settings import from_environment
from cluster.transport import ApiError

IMAGE = "chatbot-cpu:rehearsal"
PATIENCE_S = 90.0
_LOOK_S = 0.3
_ABSENT = ("ec2", "karpenter", "kuberay-operator")
_OFFER = {"cpu": "8", "memory": "32Gi", "pods": "58"}

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Cluster:
    """What a test does with the lab."""

    lab: Lab
    api: Api

    def create(self, value: Mapping[str, Any]) -> None:
        """Any object, by its kind."""
        resource = self.api.resource(value["apiVersion"], value["kind"])
        assert resource is not None
        self.api.apply({**value, "metadata": {"namespace": "default", **value["metadata"]}}, resource)

    def node(self, name: str, **labels: str) -> None:
        """One that KWOK makes Ready and the process kubelet serves."""
        annotations = {"kwok.x-k8s.io/node": "fake"}
        metadata = {"name": name, "labels": {"node": name, **labels}, "annotations": annotations}
        self.api.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata}, NODES)
        offered = {"status": {"capacity": _OFFER, "allocatable": _OFFER}}
        merge = "application/merge-patch+json"
        self.api.transport.ask("patch", f"{NODES.path(name)}/status", body=offered, content_type=merge)

    def run(self, name: str, *command: str, container: Object | None = None, **spec: Any) -> None:
        """A pod of one container `c` on node `n1`."""
        one = {"name": "c", "image": IMAGE, "command": list(command), **(container or {})}
        whole = {"nodeName": "n1", "terminationGracePeriodSeconds": 5, "containers": [one], **spec}
        labels = {"app": name}
        self.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": whole})

    def pod(self, name: str) -> Object | None:
        """As it is now."""
        return self.api.get(PODS, name, "default")

    def until(
        self, name: str, holds: Callable[[Object], bool], *, once_watched: Callable[[], None] = lambda: None
    ) -> Object:
        """The pod, as soon as that holds of it; what is set off by `once_watched` is seen however short it lasts."""
        deadline = time.monotonic() + PATIENCE_S
        states = Collection(self.api, PODS, "default", fields=f"metadata.name={name}").follow()
        first = next(states)
        once_watched()
        for pods in itertools.chain([first], states):
            if pods and holds(pods[0]):
                return pods[0]
            assert time.monotonic() < deadline, f"{name} is {pods[0].get('status') if pods else 'not there'}"
        raise AssertionError("it follows until it is left")

    def eventually(self, holds: Callable[[], bool]) -> None:
        """Return when that holds of something that no event tells of: a log, a folder."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, "it has not come about"
            time.sleep(_LOOK_S)

    def until_gone(self, name: str) -> None:
        """Return when there is no such pod."""
        deadline = time.monotonic() + PATIENCE_S
        for pods in Collection(self.api, PODS, "default", fields=f"metadata.name={name}").follow():
            if not pods:
                return
            assert time.monotonic() < deadline, f"{name} is still there"

    def delete(self, name: str, **options: Any) -> None:
        """Ask a pod to end."""
        self.api.transport.ask("delete", PODS.path(name, "default"), body={"kind": "DeleteOptions", **options})

    def logs(self, name: str, *options: str) -> str:
        """What `kubectl logs` shows; its words where it fails."""
        return self.kubectl("logs", name, *options)

    def output(self, name: str) -> str:
        """What a pod has said that has ended well."""
        pod = self.until(name, phase_is("Succeeded", "Failed"))
        said = self.logs(name, "-c", "c")
        assert dig(pod, "status", "phase") == "Succeeded", f"{said}\n{state(pod)}\n{self.events(name)}"
        return said

    def kubectl(self, *arguments: str) -> str:
        """Everything that it says."""
        command = [kustomize.kubectl(), "--kubeconfig", str(self.lab.kubeconfig), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def events(self, name: str) -> dict[str, str]:
        """The last message of each reason that was given about a pod."""
        answer = self.api.transport.ask("get", "/api/v1/namespaces/default/events")
        about = [event for event in answer["items"] if dig(event, "involvedObject", "name") == name]
        return {text(event["reason"]): text(event["message"]) for event in about}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With the one node `n1`."""
    settings = from_environment()
    try:
        refuse_without_namespaces()
        built = build.find(settings.cache_dir, [CONTROL_PLANE, KWOK])
    except Refused as reason:
        pytest.skip(str(reason))
    if (pid := control.holder()) is not None:
        pytest.skip(f"a lab runs on this machine (pid {pid}), and there can be only one")
    world = Scenario.from_json({**scenario.read("field").to_json(), "speed": 50, "absent": _ABSENT})
    lab = Lab(tmp_path_factory.mktemp("cache") / "lab")
    lab.up(built, settings.environment, world)
    made = Cluster(lab, Api.connect(lab.kubeconfig))
    made.node("n1")
    accounts = Resource("v1", "ServiceAccount", "serviceaccounts", True)
    for found in Collection(made.api, accounts, "default").follow():
        if found:  # the controller manager has made `default`, without which no pod can be
            break
    yield made
    lab.down()


@pytest.fixture(autouse=True)
def _leave_no_pod(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test has started is gone when the next one starts."""
    yield
    if "cluster" not in request.fixturenames:
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    names = [text(dig(pod, "metadata", "name")) for pod in cluster.api.listing(PODS, "default").items]
    for name in names:
        with contextlib.suppress(ApiError):  # gone meanwhile
            cluster.delete(name, gracePeriodSeconds=0)
    for name in names:
        cluster.until_gone(name)


def state(pod: Object, container: int = 0) -> Object:
    """Of one of its containers: waiting, running or terminated."""
    found: Object = dig(pod, "status", "containerStatuses", container, "state") or {}
    return found


def is_ready(pod: Object) -> bool:
    """By its condition."""
    conditions = dig(pod, "status", "conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def phase_is(*phases: str) -> Callable[[Object], bool]:
    """Whether a pod's phase is one of these."""
    return lambda pod: dig(pod, "status", "phase") in phases


def waits_for(reason: str) -> Callable[[Object], bool]:
    """Whether a pod's container waits for that reason."""
    return lambda pod: dig(state(pod), "waiting", "reason") == reason


def root_of(lab: Lab, pod: Object) -> Path:
    """The folder of a pod's sandbox."""
    return lab.home / "kubelet/pods" / text(dig(pod, "metadata", "uid"))
