"""From the objects of a cluster to events on the run's clock, each with what it stands on."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from loadtest import timeline
from loadtest.observers import Event
from loadtest.observers.kubernetes import instant
from loadtest.observers.watched import Watched
from loadtest.timeline import Chain
from tests.support import cluster_objects
from tests.support.cluster_objects import CLAIM, DEVICE, HEAD, NODE, ORDER, WORKER, World, ray_cluster, stamp
from tests.support.cluster_watching import Watching
from tests.support.load_profiles import record

OF_WORKER = [stage for stage in ORDER if stage not in ("raycluster", "serve")]


def scaled_out() -> Watched:
    """One replica ran before; a second one comes, link by link, a second each."""
    old = cluster_objects.pod("chatbot-trn1-zero", "worker", "trn1-old", address="10.88.8.9", selector={"a": "b"})
    watching = Watching(_with_old(World("pod-created"), old), from_deploy=False)
    watching.look(0.5)
    for second, stage in enumerate((*ORDER[2:], ""), 1):
        world = _with_old(World(stage), old)
        world.clusters = [ray_cluster(replicas=2)]
        watching.look(second + 0.5, world)
    return watching.watch.so_far()


def _with_old(world: World, old: dict[str, object]) -> World:
    world.pods.append(old)
    return world


def chain_of(seen: Watched) -> Chain:
    applied = (Event("load-applied", 0.0, "client"),)
    records = [record(at_s=14.0, replica="one")]
    (chain,) = timeline.scale_out(
        seen.events,
        records,
        known=["zero"],
        applied=applied,
        until_s=60,
        wanted=1,
        visible=seen.stages,
        links=seen.links,
    )
    return chain


def test_a_new_replica_is_followed_from_the_load_down_to_its_machine() -> None:
    chain = chain_of(scaled_out())
    statuses = {stage.name: stage.status for stage in chain.stages}
    assert statuses.pop("serve-target-raised") == "unseen", "Serve answers only when it is there already"
    assert set(statuses.values()) == {"reached"}
    assert {"ip:10.88.8.3", f"pod:{WORKER}", f"node:{NODE}", f"nodeclaim:{CLAIM}"} <= chain.subjects


def test_instants_are_the_objects_own_and_never_after_the_look() -> None:
    at_s = {stage.name: stage.at_s for stage in chain_of(scaled_out()).stages}
    assert at_s["nodeclaim-created"] == pytest.approx(2.0)
    assert at_s["node-launched"] == pytest.approx(3.0)
    assert at_s["ray-node-joined"] == pytest.approx(9.25), "Ray's own stamps have milliseconds"


@pytest.mark.parametrize(
    ("since_s", "before_s", "taken_s", "at_s", "why"),
    [
        (10.0, 8.5, 12.5, 10.0, "the object says"),
        (10.0, 10.4, 11.4, 10.4, "its second began before a look that did not show it"),
        (10.0, 15.0, 16.0, 10.0, "reported late"),
        (13.0, 11.0, 12.5, 12.5, "a clock that is ahead"),
        (None, 11.0, 12.5, 12.5, "the object does not say"),
        (10.0, None, 12.5, 10.0, "the first look"),
    ],
)
def test_the_instant_of_a_stamp(
    since_s: float | None, before_s: float | None, taken_s: float, at_s: float, why: str
) -> None:
    assert instant(since_s, before_s, taken_s) == at_s, why


def test_what_stood_before_the_load_is_no_news_but_its_links_are_known() -> None:
    watching = Watching(World(), from_deploy=False)
    seen = watching.look(20.0)
    assert [event for event in seen.events if event.source == "kubernetes"] == []
    assert ("ip:10.88.8.3", f"pod:{WORKER}") in seen.links
    assert (f"node:{NODE}", f"nodeclaim:{CLAIM}") in seen.links


def test_a_pending_pod_stands_on_the_claim_that_was_made_for_it() -> None:
    seen = Watching(World("node-registered")).look(5.0)
    assert (f"pod:{WORKER}", f"nodeclaim:{CLAIM}") in seen.links


def test_claims_for_others_are_not_the_workers() -> None:
    world = World("node-registered")
    world.claims.append(
        cluster_objects.claim("x86-other", "x86-cpu-karpenter", "c5.large", {"workload": "batch"}, "x86-2")
    )
    seen = Watching(world).look(5.0)
    assert {e.subject for e in seen.events if e.stage == "nodeclaim-created"} == {
        f"nodeclaim:{CLAIM}",
        "nodeclaim:x86-cpu-karpenter-h1",
    }


def scaled_in() -> Watched:
    """A worker is given back, terminates, leaves a node, which goes."""
    watching = Watching(World(), from_deploy=False)
    watching.look(100.0)
    leaving = World()
    leaving.clusters[0]["spec"]["workerGroupSpecs"][0]["scaleStrategy"] = {"workersToDelete": [WORKER]}
    watching.look(110.0, leaving)
    gone = World()
    gone.pods = [pod for pod in gone.pods if pod["metadata"]["name"] != WORKER]
    gone.plugin_pods = [
        {
            "metadata": {"name": "neuron-device-plugin-x", "ownerReferences": [{"kind": "DaemonSet"}]},
            "spec": {"nodeName": NODE},
        }
    ]
    watching.look(120.0, gone)
    watching.look(121.0)
    gone.nodes = [node for node in gone.nodes if node["metadata"]["name"] != NODE]
    gone.claims = [claim for claim in gone.claims if claim["metadata"]["name"] != CLAIM]
    return watching.look(130.0)


def test_scale_in_is_followed_from_the_autoscalers_word_to_the_machines_end() -> None:
    events = [(event.stage, event.at_s, event.subject) for event in scaled_in().events if event.source == "kubernetes"]
    assert events == [
        ("ray-node-idle", 110.0, f"pod:{WORKER}"),
        ("pod-deleted", 120.0, f"pod:{WORKER}"),
        ("node-emptied", 121.0, f"node:{NODE}"),
        ("node-deleted", 130.0, f"node:{NODE}"),
    ]


def test_a_pod_that_goes_between_two_looks_was_given_back_if_ray_says_so() -> None:
    watching = Watching(World(), from_deploy=False)
    watching.look(100.0)
    gone = World()
    gone.pods = [pod for pod in gone.pods if pod["metadata"]["name"] != WORKER]
    watching.look(101.0, gone)  # evicted, or its machine died
    gone.clusters[0]["spec"]["workerGroupSpecs"][0]["scaleStrategy"] = {"workersToDelete": [WORKER]}
    events = [(e.stage, e.at_s) for e in watching.look(102.0, gone).events if e.source == "kubernetes"]
    assert [event for event in events if event[0] in ("ray-node-idle", "pod-deleted")] == [
        ("pod-deleted", 101.0),
        ("ray-node-idle", 102.0),
    ]


def test_the_replica_that_goes_may_be_one_that_ran_before_the_load() -> None:
    seen = scaled_in()
    drained = Event("replica-drained", 105.0, "serve", "replica:one")
    (chain,) = timeline.scale_in(
        [*seen.events, drained], removed_s=101.0, wanted=1, visible=seen.stages, links=seen.links
    )
    reached = [stage.name for stage in chain.stages if stage.status == "reached"]
    assert reached[-4:] == ["ray-node-idle", "pod-deleted", "node-emptied", "node-deleted"]


def test_a_pod_that_others_keep_company_leaves_its_node_unemptied() -> None:
    watching = Watching(World(), from_deploy=False)
    watching.look(100.0)
    gone = World()
    gone.pods = [pod for pod in gone.pods if pod["metadata"]["name"] != WORKER]
    gone.plugin_pods = [{"metadata": {"name": "lodger"}, "spec": {"nodeName": NODE}}]
    watching.look(120.0, gone)
    seen = watching.look(121.0)
    assert "node-emptied" not in {event.stage for event in seen.events}
    assert any("lodger run there" in cause.text for cause in seen.now.causes if cause.stage == "node-emptied")


def test_figures_count_the_workers_machines_and_what_all_of_them_cost() -> None:
    seen = Watching(World(), usd_per_h={"trn1.2xlarge": 1.34375, "c5.large": 0.085}).look(20.0)
    assert seen.last("nodes_total") == seen.last("nodes_ready") == 1
    assert seen.last("pods_pending") == 0
    assert seen.last("usd_per_hour") == pytest.approx(1.42875)
    assert [(machine.name, machine.instance_type, machine.pods) for machine in seen.machines] == [
        ("x86-cpu-karpenter-h1", "c5.large", (HEAD,)),
        (CLAIM, "trn1.2xlarge", (WORKER,)),
    ]


def test_without_prices_there_is_no_figure_of_money() -> None:
    assert Watching(World()).look(20.0).last("usd_per_hour") is None


def test_a_machine_that_is_gone_keeps_its_lifetime() -> None:
    machine = next(machine for machine in scaled_in().machines if machine.name == CLAIM)
    assert (machine.from_s, machine.until_s) == (2.0, 130.0)
    assert machine.pods == (WORKER,)


def test_a_cluster_without_karpenter_has_no_claims_in_its_chain() -> None:
    class Bare(World):
        def _answer(self, path: str, query: object) -> object:
            return None if path == "/apis/karpenter.sh/v1" else super()._answer(path, query)  # type: ignore[arg-type]

    seen = Watching(Bare()).look(20.0)
    assert not {"nodeclaim-created", "node-launched", "node-registered", "node-deleted"} & seen.stages
    assert "pod-scheduled" in seen.stages


def test_workers_that_ask_for_no_device_wait_for_none() -> None:
    world = World()
    world.clusters[0]["spec"]["workerGroupSpecs"][0]["template"] = {"spec": {"containers": [{"resources": {}}]}}
    assert "device-advertised" not in Watching(world).look(20.0).stages
    assert "device-advertised" in Watching(World()).look(20.0).stages


def test_a_device_counts_once_there_is_some_of_it() -> None:
    world = World("device-advertised")
    world.nodes[-1]["status"]["allocatable"][DEVICE] = "0"
    watching = Watching(world)
    assert "device-advertised" not in {event.stage for event in watching.look(6.0).events}
    world.nodes[-1]["status"]["allocatable"][DEVICE] = "2"
    assert "device-advertised" in {event.stage for event in watching.look(7.0).events}


def test_the_dashboard_is_asked_with_the_clusters_own_token() -> None:
    world = World()
    Watching(world).look(20.0)
    assert f"/api/v1/namespaces/chatbot/secrets/{cluster_objects.CLUSTER}" in world.asked


class Closed(World):
    """Nobody listens."""

    def __call__(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        raise ConnectionRefusedError("refused")


class Hanging(World):
    """With a head whose dashboard takes Serve's questions and says nothing."""

    def __call__(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if "/api/serve/" in path:
            raise TimeoutError
        return World.__call__(self, path, headers)


class Forbidding(World):
    """Without any right."""

    def __call__(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        return 403, b'{"message": "nodes is forbidden"}'


def test_an_api_server_that_does_not_answer_is_one_sentence_and_the_next_look_goes_on() -> None:
    watching = Watching(World())
    seen = watching.look(1.0, Closed())
    assert any("the API server does not answer: refused" in sentence for sentence in seen.failed_looks)
    watching.look(20.0, World())
    assert "pod-created" in {event.stage for event in watching.watch.so_far().events}


def test_a_serve_that_hangs_behind_the_proxy_is_told_as_that() -> None:
    watching = Watching(Hanging())
    (said,) = watching.look(20.0).failed_looks
    assert said.startswith("Ray's dashboard does not answer for Serve")
    assert "gives no answer to GET /api/v1/namespaces/chatbot/services/" in said
    assert said.endswith("within 10 s)")


def test_a_missing_right_is_named() -> None:
    seen = Watching(Forbidding()).look(1.0)
    assert any("403" in sentence and "nodes is forbidden" in sentence for sentence in seen.failed_looks)


def test_stamps_of_the_world_are_whole_seconds() -> None:
    assert stamp(1.9) == stamp(1.0)
