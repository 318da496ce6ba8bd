"""Objects as they stand when a link is missing -> that link, and a sentence that names who refused it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from loadtest import verdict
from loadtest.record import Outcome
from loadtest.verdict import BrokenLink
from tests.support import cluster_objects as objects
from tests.support.cluster_objects import CLAIM, HEAD, NODE, ORDER, WORKER, World, condition, event
from tests.support.cluster_watching import Watching
from tests.support.load_profiles import closed, failure

Change = Callable[[World], None]


def broken(world: World, *, after_s: float = 120.0) -> BrokenLink:
    """The verdict of a deployment that has been watched for `after_s`."""
    watching = Watching(world)
    watching.look(after_s - 1)
    seen = watching.look(after_s)
    link = verdict.judge_deployment(closed(), seen, (), asks=False).broken_link
    assert link is not None
    return link


NAMES = {"raycluster": "ray-demand-raised", "serve": "serve-target-raised", "replica-running": "model-loaded"}


@pytest.mark.parametrize("missing", ORDER)
def test_each_link_that_is_missing_from_a_deployment_is_named_in_turn(missing: str) -> None:
    link = broken(World(missing))
    assert link.stage == NAMES.get(missing, missing)
    assert link.evidence


def test_a_deployment_that_is_complete_breaks_nothing() -> None:
    seen = Watching(World()).look(60.0)
    assert verdict.judge_deployment(closed(), seen, (), asks=False).broken_link is None


def test_a_question_that_the_watchs_end_cut_off_does_not_hide_how_the_one_before_ended() -> None:
    seen = Watching(World()).look(60.0)
    asked = (failure(Outcome.CONNECT_ERROR, at_s=50.0), failure(Outcome.CANCELLED, 1, at_s=55.0, error=""))
    link = verdict.judge_deployment(closed(), seen, asked, asks=True).broken_link
    assert link is not None
    assert link.stage == "first-token"
    assert f"{Outcome.CONNECT_ERROR.value}: why" in link.reason


def no_operator(world: World) -> None:
    pass


def refused_spec(world: World) -> None:
    world.events.append(event("RayService", "chatbot", "InvalidRayServiceSpec", "the spec is wrong"))


def quota(world: World) -> None:
    text = 'Failed to create worker Pod: pods "x" is forbidden: exceeded quota: chatbot'
    world.events.append(event("RayCluster", objects.CLUSTER, "FailedToCreateWorkerPod", text))
    world.pods = [pod for pod in world.pods if pod["metadata"]["name"] == HEAD]


def not_tolerated(world: World) -> None:
    text = "Failed to schedule pod, incompatible with nodepool, did not tolerate taint aws.amazon.com/neuron=true:NoSchedule"
    world.events.append(event("Pod", WORKER, "FailedScheduling", text, by="karpenter"))


def not_selected(world: World) -> None:
    world.pods[1]["spec"]["nodeSelector"] = {"no.such/label": "true"}


def no_subnet(world: World) -> None:
    said = condition(
        "SubnetsReady", status="False", reason="SubnetsNotFound", message="SubnetSelector did not match any Subnets"
    )
    world.classes[0] = objects.node_class(
        "trainium-trn1", said, condition("Ready", status="False", reason="UnhealthyDependents")
    )
    world.pools[0]["status"]["conditions"] = [condition("Ready", status="False", reason="NodeClassNotReady")]


def no_subnet_asked(world: World) -> None:
    no_subnet(world)
    world.classes[0] = {**world.classes[0], "spec": {"subnetSelectorTerms": [{"tags": {"of": "another-cluster"}}]}}


def no_role(world: World) -> None:
    said = condition(
        "InstanceProfileReady", status="Unknown", reason="AwaitingReconciliation", message="object is awaiting"
    )
    world.classes[0] = objects.node_class("trainium-trn1", said, condition("Ready", status="Unknown")) | {
        "spec": {"role": "no-such-role"}
    }
    world.pools[0]["status"]["conditions"] = [condition("Ready", status="False", reason="NodeClassNotReady")]


def too_large(world: World) -> None:
    said = (
        "Failed to schedule pod, no instance type has enough resources, requirements=instanceType In [trn1.2xlarge], "
        'kubernetes.io/os In [linux], resources={"memory":"30Gi"}; did not tolerate taint'
    )
    world.events.append(event("Pod", WORKER, "FailedScheduling", said, by="karpenter"))


def no_class(world: World) -> None:
    world.pools[0]["spec"]["template"]["spec"]["nodeClassRef"]["name"] = "trainium"
    world.pools[0]["status"]["conditions"] = [condition("Ready", status="False", reason="NodeClassNotFound")]


def no_type(world: World) -> None:
    said = "Failed to schedule pod, incompatible requirements, label does not have known values"  # of the other pool
    world.events.append(event("Pod", WORKER, "FailedScheduling", said, by="karpenter"))
    text = "NodePool requirements filtered out all compatible available instance types"
    world.outside_events.append(event("NodePool", "trainium-trn1", "NoCompatibleInstanceTypes", text))


def no_type_of_these(world: World) -> None:
    no_type(world)
    world.pools[0]["spec"]["template"]["spec"]["requirements"] = [
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["trn1.xlarge"]},
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a", "us-east-1b"]},
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
    ]


def no_scheduler(world: World) -> None:
    world.pods[1]["spec"]["schedulerName"] = "neuron-scheduler"
    world.pods[1]["status"]["conditions"] = []


def launch_refused(world: World) -> None:
    said = condition(
        "Launched",
        status="Unknown",
        reason="InsufficientCapacityError",
        message="all requested instance types were unavailable",
    )
    world.claims[-1]["status"]["conditions"][0] = said


def no_plugin(world: World) -> None:
    world.plugin_sets = []


def plugin_kept_off(world: World) -> None:
    world.nodes[-1]["spec"]["taints"] = [{"key": "example.com/agent", "value": "true", "effect": "NoSchedule"}]


def plugin_dumb(world: World) -> None:
    world.plugin_pods = [
        {"metadata": {"name": "neuron-device-plugin-x"}, "spec": {"nodeName": NODE}, "status": {"phase": "Running"}}
    ]


def never_ready(world: World) -> None:
    world.nodes[-1]["status"]["conditions"] = [
        condition("Ready", status="False", reason="KubeletNotReady", message="starting")
    ]


def startup_taint(world: World) -> None:
    said = condition(
        "Initialized",
        status="Unknown",
        reason="StartupTaintsExist",
        message='StartupTaint "example.com/x" still exists',
    )
    world.claims[-1]["status"]["conditions"][2] = said


def no_image(world: World) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image chatbot-neuron:never-pushed"}
    world.pods[1]["status"]["containerStatuses"][0]["state"] = {"waiting": waiting}


def no_secret(world: World) -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "hugging-face" not found'}
    world.pods[1]["status"]["containerStatuses"][0]["state"] = {"waiting": waiting}


def head_not_reached(world: World) -> None:
    world.pods[1]["status"]["initContainerStatuses"] = [
        {"name": "wait-gcs-ready", "state": {"running": {"startedAt": objects.stamp(8)}}}
    ]


def crashes(world: World) -> None:
    ended = {"exitCode": 1, "reason": "Error", "message": "Traceback\nModuleNotFoundError: No module named 'serving'"}
    world.pods[1]["status"]["containerStatuses"][0] |= {"restartCount": 4, "lastState": {"terminated": ended}}


def killed(world: World) -> None:
    world.pods[1]["status"]["containerStatuses"][0] |= {
        "restartCount": 2,
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }


def head_not_ready(world: World) -> None:
    world.pods[0]["status"]["conditions"][1] = condition("Ready", status="False")
    world.events.append(event("Pod", HEAD, "Unhealthy", "Readiness probe failed: dial tcp 9999: connection refused"))


def cannot_import(world: World) -> None:
    said = "Deploying app failed with exception:\nAttributeError: module 'serving.app' has no attribute 'build'"
    world.applications = {"chatbot": {"status": "DEPLOY_FAILED", "message": said, "deployments": {}}}


def unplaced(world: World) -> None:
    said = 'has 1 replicas that have taken more than 30s to be scheduled. Resources required for each replica: {"CPU": 7.0}'
    world.applications["chatbot"]["deployments"]["Chat"]["message"] = said


def model_gone(world: World) -> None:
    world.log = objects.log_line(11, "start-up stage failed", stage="runner")
    world.applications["chatbot"]["status"] = "DEPLOY_FAILED"
    world.applications["chatbot"]["deployments"]["Chat"]["message"] = (
        "failed 3 times in a row\nSetupError: there is no model smollm2"
    )


def canary_waits(world: World) -> None:
    world.log = objects.log_line(11, "start-up stage passed", stage="runner", took_s=1.0)


SITUATIONS: list[tuple[Change, str, str, str]] = [
    (no_operator, "raycluster", "ray-demand-raised", "operator does not run"),
    (refused_spec, "raycluster", "ray-demand-raised", "is refused by KubeRay"),
    (quota, "nodeclaim-created", "pod-created", "exceeded quota"),
    (not_tolerated, "nodeclaim-created", "nodeclaim-created", "did not tolerate taint aws.amazon.com/neuron"),
    (not_selected, "nodeclaim-created", "nodeclaim-created", "none gives nodes with no.such/label=true"),
    (no_subnet, "nodeclaim-created", "nodeclaim-created", "SubnetSelector did not match any Subnets"),
    (no_subnet_asked, "nodeclaim-created", "nodeclaim-created", '), its subnetSelectorTerms are [{"tags": {"of": '),
    (
        no_type_of_these,
        "nodeclaim-created",
        "nodeclaim-created",
        (
            "; NodePool trainium-trn1 wants node.kubernetes.io/instance-type In trn1.xlarge and "
            "topology.kubernetes.io/zone In us-east-1a, us-east-1b"
        ),
    ),
    (no_role, "nodeclaim-created", "nodeclaim-created", "its role is no-such-role"),
    (too_large, "nodeclaim-created", "nodeclaim-created", 'has enough resources, resources={"memory":"30Gi"}; did not'),
    (no_class, "nodeclaim-created", "nodeclaim-created", "there is no EC2NodeClass trainium"),
    (no_type, "nodeclaim-created", "nodeclaim-created", "filtered out all compatible available instance types"),
    (no_scheduler, "nodeclaim-created", "nodeclaim-created", "asks for the scheduler neuron-scheduler"),
    (launch_refused, "node-launched", "node-launched", "all requested instance types were unavailable"),
    (no_plugin, "device-advertised", "device-advertised", "no device plugin is installed"),
    (plugin_kept_off, "device-advertised", "device-advertised", "does not tolerate the node's taint example.com/agent=true:NoSchedule"),
    (plugin_dumb, "device-advertised", "device-advertised", "neuron-device-plugin-x is Running there and announces none"),
    (never_ready, "pod-scheduled", "pod-scheduled", f"Node {NODE} is not ready: KubeletNotReady: starting"),
    (startup_taint, "pod-scheduled", "pod-scheduled", "example.com/x"),
    (no_image, "image-pulled", "image-pulled", "chatbot-neuron:never-pushed"),
    (no_secret, "container-started", "container-started", 'secret "hugging-face" not found'),
    (head_not_reached, "container-started", "container-started", "waits in its init container wait-gcs-ready"),
    (crashes, "ray-node-joined", "ray-node-joined", "No module named 'serving'"),
    (killed, "ray-node-joined", "ray-node-joined", "exit code 137 (OOMKilled), 2 restarts"),
    (head_not_ready, "serve", "ray-node-joined", "Readiness probe failed"),
    (cannot_import, "serve", "serve-target-raised", "no attribute 'build'"),
    (unplaced, "replica-started", "replica-started", '"CPU": 7.0'),
    (model_gone, "replica-running", "model-loaded", "there is no model smollm2"),
    (canary_waits, "replica-running", "replica-running", "its canary"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "until", "stage", "words"), SITUATIONS, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_reason_names_who_refused_the_link(change: Change, until: str, stage: str, words: str) -> None:
    world = World(until)
    change(world)
    link = broken(world)
    assert (link.stage, words in link.reason) == (stage, True), link.reason


def test_a_definite_cause_of_the_worker_goes_before_a_head_that_may_only_be_slow() -> None:
    world = World("nodeclaim-created")
    not_tolerated(world)
    world.pods[0]["spec"]["nodeName"] = ""
    world.pods[0]["status"] = {"phase": "Pending"}
    assert "did not tolerate" in broken(world).reason


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"enableInTreeAutoscaling": False}, "has no autoscaler"),
        (
            {"workerGroupSpecs": [{"groupName": "trn1", "replicas": 1, "minReplicas": 1, "maxReplicas": 1}]},
            "maxReplicas, 1",
        ),
    ],
)
def test_why_ray_does_not_ask_for_another_worker(spec: dict[str, Any], words: str) -> None:
    world = World()
    world.clusters = [objects.ray_cluster(**spec)]
    causes = Watching(world).look(60.0).now.causes
    assert any(words in cause.text for cause in causes if cause.stage == "ray-demand-raised")


SERVE_CONFIG = """
applications:
  - name: chatbot
    deployments: [{name: Chat, ray_actor_options: {num_cpus: 4, resources: {neuron_cores: 2, "node:here": 0.1}}}]
"""
BARE: dict[str, Any] = {"groupName": "trn1", "replicas": 1, "minReplicas": 1, "maxReplicas": 3}


@pytest.mark.parametrize(
    ("config", "group", "is_missing"),
    [
        (SERVE_CONFIG, {"resources": {"CPU": "6"}}, True),
        (SERVE_CONFIG, {"resources": {"CPU": "6", "neuron_cores": "2"}}, False),
        (SERVE_CONFIG, {"rayStartParams": {"resources": '"{\\\\"neuron_cores\\\\": 2}"'}}, False),
        (SERVE_CONFIG.replace("neuron_cores: 2", "neuron_cores: 0, TPU: 4"), {}, False),
        (SERVE_CONFIG.replace("neuron_cores: 2", "2: 1"), {"resources": {"2": "1"}}, False),
        ("applications: [{deployments: [{ray_actor_options: {resources: 3}}]}]", {}, False),
        ("at: 2024-13-01", {}, False),
        ("a: [", {}, False),
        ("", {}, False),
    ],
)
def test_a_resource_that_no_worker_group_declares_is_named(
    config: str, group: dict[str, Any], is_missing: bool
) -> None:
    world = World()
    assert world.service is not None
    world.service["spec"] = {"serveConfigV2": config}
    world.clusters = [objects.ray_cluster(workerGroupSpecs=[BARE | group])]
    causes = [c.text for c in Watching(world).look(60.0).now.causes if "declares" in c.text]
    expected = (
        f"no worker group of RayCluster {objects.CLUSTER} declares neuron_cores in its resources, which a replica of Chat "
        "asks for: Ray's autoscaler knows no worker that would help"
    )
    assert causes == ([expected] if is_missing else [])


class Logging(World):
    """With an autoscaler that wrote down why it ended."""

    def __call__(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if "container=autoscaler" in path:
            return 200, b"Traceback\nFileNotFoundError: /var/run/secrets/kubernetes.io/serviceaccount/token\n"
        return World.__call__(self, path, headers)


def test_an_autoscaler_that_ends_is_told_with_the_last_trouble_in_its_log() -> None:
    world = Logging()
    ended = {"name": "autoscaler", "restartCount": 2, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    world.pods[0]["status"]["containerStatuses"].append(ended)
    causes = [c.text for c in Watching(world).look(60.0).now.causes if c.stage == "ray-demand-raised"]
    assert causes[0] == (
        f"The autoscaler in head pod {HEAD} ended with exit code 1, 2 restarts; its log: "
        "FileNotFoundError: /var/run/secrets/kubernetes.io/serviceaccount/token"
    )


def test_a_head_whose_autoscaler_ended_for_good_is_given_up_at_once() -> None:
    world = Logging()
    head = world.pods[0]
    head["spec"]["restartPolicy"] = "Never"
    head["status"]["containerStatuses"].append({"name": "autoscaler", "state": {"terminated": {"exitCode": 1}}})
    found = [c for c in Watching(world).look(60.0).now.causes if c.stage == "ray-node-joined"]
    said = (
        "container autoscaler ended with exit code 1; its log: "
        "FileNotFoundError: /var/run/secrets/kubernetes.io/serviceaccount/token"
    )
    assert [(cause.definite, cause.text.partition(": ")[2]) for cause in found] == [(True, said)]


@pytest.mark.parametrize(
    ("disruption", "words"),
    [
        ({"consolidateAfter": "Never"}, "consolidateAfter"),
        ({"budgets": [{"nodes": "0"}]}, "disruption budget"),
    ],
)
def test_why_a_node_stays(disruption: dict[str, Any], words: str) -> None:
    world = World()
    world.pools[0]["spec"]["disruption"] = disruption
    causes = Watching(world).look(60.0).now.causes
    assert any(words in cause.text for cause in causes if cause.stage == "node-deleted")


@pytest.mark.parametrize(
    "budget",
    [
        {"nodes": "1"},
        {"nodes": "0", "reasons": ["Drifted", "Underutilized"]},
        {"nodes": "0", "schedule": "0 9 * * mon-fri", "duration": "8h"},
    ],
)
def test_a_budget_that_lets_empty_nodes_go_is_no_cause(budget: dict[str, Any]) -> None:
    world = World()
    world.pools[0]["spec"]["disruption"] = {"budgets": [budget]}
    assert not any("budget" in cause.text for cause in Watching(world).look(60.0).now.causes)


def test_what_went_wrong_while_the_head_came_up_is_no_cause_later() -> None:
    world = World()
    world.events.append(event("RayService", "chatbot", "FailedToUpdateServeApplications", "connection refused"))
    assert world.service is not None
    assert any("connection refused" in cause.text for cause in Watching(world).look(60.0).now.causes)
    world.service["status"]["conditions"] = [condition("Ready")]
    assert not any("connection refused" in cause.text for cause in Watching(world).look(60.0).now.causes)


def test_karpenters_own_word_on_a_node_that_stays_is_told() -> None:
    world = World()
    world.outside_events.append(event("NodeClaim", CLAIM, "DisruptionBlocked", "Pdb prevents pod evictions"))
    causes = Watching(world).look(60.0).now.causes
    assert {cause.stage for cause in causes if "Pdb prevents" in cause.text} == {"node-emptied", "node-deleted"}
