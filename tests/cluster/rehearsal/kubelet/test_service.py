"""Which pods get a worker, and what it is told: lists come in as they are, workers only write down."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from cluster.rehearsal.kubelet.dns import zone
from cluster.rehearsal.kubelet.messages import Node, Seen, Services
from cluster.rehearsal.kubelet.pod.spec import Pod
from cluster.rehearsal.kubelet.service import SIMULATED, Names, Pods
from cluster.rehearsal.kubelet.worker import Worker
from cluster.rehearsal.processes import GRACE_S


class Written:
    """A worker that does nothing."""

    def __init__(self, pod: Pod, node: Node) -> None:
        self.pod, self.node = pod, node
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def see(self, seen: Seen) -> None:
        self.told.append(f"see {seen.pod.value['metadata']['labels']['step']}")

    def vanish(self) -> None:
        self.told.append("vanish")

    def join(self, timeout_s: float) -> None:
        assert timeout_s < GRACE_S - 2, "the supervisor kills the kubelet before it has removed its groups"
        self.told.append("join")


class Images:
    """Writes down whose images are forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def forget(self, node: str) -> None:
        self.forgotten.append(node)


class Shared:
    """What the pods need of what all workers share."""

    def __init__(self) -> None:
        self.images = Images()


class Place:
    """The pods of one kubelet, with what became of them."""

    def __init__(self) -> None:
        self.workers: dict[str, Written] = {}
        self.shared = Shared()
        self.pods = Pods(cast(Services, self.shared), self._make)

    def _make(self, _services: Services, pod: Pod, node: Node) -> Worker:
        assert pod.uid not in self.workers, "a pod is run twice"
        self.workers[pod.uid] = Written(pod, node)
        return cast(Worker, self.workers[pod.uid])

    @property
    def told(self) -> dict[str, list[str]]:
        return {uid: worker.told for uid, worker in self.workers.items()}


def node(name: str = "n", uid: str = "node-1", *, simulated: bool = True) -> dict[str, Any]:
    annotations = {SIMULATED: "fake"} if simulated else {}
    return {"metadata": {"name": name, "uid": uid, "annotations": annotations}}


def pod(uid: str, name: str = "p", on: str = "n", step: str = "1") -> dict[str, Any]:
    metadata = {"uid": uid, "name": name, "namespace": "ns", "labels": {"step": step}}
    return {"metadata": metadata, "spec": {"nodeName": on}}


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_pod_is_taken_up_whichever_list_comes_first(place: Place) -> None:
    place.pods.see_pods([pod("a")])
    assert not place.pods.is_well()
    assert place.told == {}
    place.pods.see_nodes([node()])
    assert place.pods.is_well()
    assert place.told == {"a": ["start"]}


def test_pods_of_nodes_that_are_not_simulated_are_left_to_their_own_kubelets(place: Place) -> None:
    place.pods.see_nodes([node(simulated=False)])
    place.pods.see_pods([pod("a"), pod("b", "q", on="unknown")])
    assert place.told == {}


def test_a_worker_hears_of_every_change_and_of_the_end(place: Place) -> None:
    place.pods.see_nodes([node()])
    for step in ("1", "2"):
        place.pods.see_pods([pod("a", step=step)])
    place.pods.see_pods([])
    assert place.told == {"a": ["start", "see 2", "vanish"]}


def test_a_pod_made_again_under_its_name_is_another(place: Place) -> None:
    place.pods.see_nodes([node()])
    place.pods.see_pods([pod("a")])
    place.pods.see_pods([pod("b")])
    assert place.told == {"a": ["start", "vanish"], "b": ["start"]}
    assert place.pods.uid("ns", "p") == "b"


def test_a_node_that_is_gone_ends_its_pods_and_its_images(place: Place) -> None:
    place.pods.see_nodes([node(), node("m", "node-2")])
    place.pods.see_pods([pod("a"), pod("b", "q", on="m")])
    place.pods.see_nodes([node("m", "node-2")])
    assert place.told["a"][-1] == "vanish"
    assert place.told["b"][-1] == "see 1"
    assert place.shared.images.forgotten == ["node-1"]


def test_a_node_made_again_under_its_name_does_not_have_the_old_ones_pods(place: Place) -> None:
    place.pods.see_nodes([node()])
    place.pods.see_pods([pod("a")])
    place.pods.see_nodes([node(uid="node-3")])
    assert place.told["a"][-1] == "vanish"


def test_a_pod_that_is_over_is_not_run_again_while_its_object_is_still_there(place: Place) -> None:
    place.pods.see_nodes([node()])
    place.pods.see_pods([pod("a")])
    place.pods.see_nodes([])
    place.pods.see_pods([pod("a")])
    assert place.told["a"].count("start") == 1


def test_the_kubelet_waits_for_its_pods_ends_and_not_longer_than_the_lab_waits_for_the_kubelet(place: Place) -> None:
    place.pods.see_nodes([node()])
    place.pods.see_pods([pod("a"), pod("b", "q")])
    place.pods.stop()
    assert [told[-2:] for told in place.told.values()] == [["vanish", "join"], ["vanish", "join"]]


def test_names_are_those_of_the_newest_lists_though_each_comes_by_a_thread_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names, build = Names("10.88.7.1"), zone.build
    metadata = {"namespace": "ns", "labels": {"kubernetes.io/service-name": "chat"}}
    endpoint = {"metadata": metadata, "addressType": "IPv4", "endpoints": [{"addresses": ["10.88.8.1"]}]}
    other = threading.Thread(target=names.see_slices, args=[[endpoint]])

    def overtaken(services: Any, slices: Any, api_server: str) -> zone.Zone:
        if not other.ident:
            other.start()
            other.join(0.05)  # it gets through at once, if nothing holds it
        return build(services, slices, api_server)

    monkeypatch.setattr(zone, "build", overtaken)
    names.see_services([{"metadata": {"name": "chat", "namespace": "ns"}, "spec": {"clusterIP": "10.96.0.9"}}])
    other.join()
    assert names.zone.lookup("chat.ns.svc.cluster.local") == ("10.88.8.1",)
