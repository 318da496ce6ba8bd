"""The manifests that this repository ships: what renders, what it makes, and that it agrees with itself."""

import io
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster.kustomize import kubectl, render
from cluster.lint.engine import lint
from cluster.lint.karpenter import NodePool
from cluster.lint.source import load
from cluster.objects import Manifest
from cluster.placeholders import declared

MANIFESTS = Path("manifests")
EXAMPLES = {name: placeholder.example for name, placeholder in declared(MANIFESTS).items()}
COMPONENTS = sorted(path.name for path in (MANIFESTS / "chat/components").iterdir())


@pytest.mark.parametrize(
    "folder",
    [
        "nodepools",
        "platform",
        "clusters/eks",
        "clusters/rehearsal",
        "clusters/rehearsal-real-model",
        "clusters/rehearsal/loadtest",
        "loadtest",
    ],
)
def test_our_manifests_have_no_error_and_no_warning(folder: str) -> None:
    findings = lint(load(str(MANIFESTS / folder), io.StringIO(), EXAMPLES)).findings
    assert [(f.rule, f.message) for f in findings if f.severity != "info"] == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_renders_and_adds_no_error(component: str, tmp_path: Path) -> None:
    folder = overlay(tmp_path, component)
    findings = lint(load(str(folder), io.StringIO(), EXAMPLES)).findings
    assert [(f.rule, f.message) for f in findings if f.severity == "error"] == []
    assert len(render(folder, EXAMPLES)) >= 18


def overlay(tmp_path: Path, component: str) -> Path:
    """A kustomization of somebody's own: ours and one component."""
    made, folder = tmp_path / "overlay", MANIFESTS.resolve()
    made.mkdir()
    (made / "kustomization.yaml").write_text(
        f"resources: [{os.path.relpath(folder / 'clusters/rehearsal', made)}]\n"
        f"components: [{os.path.relpath(folder / 'chat/components' / component, made)}]\n"
    )
    (made / "placeholders.yaml").write_text((MANIFESTS / "placeholders.yaml").read_text())
    return made


def test_the_workshops_command_gives_exactly_its_four_objects() -> None:
    command = f"{kubectl()} kustomize manifests/nodepools | envsubst"
    environment = {"PATH": os.environ["PATH"], "EKS_CLUSTER_NAME": "blue", "KARPENTER_NODE_ROLE": "nodes"}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env=environment)
    stack = load("-", io.StringIO(done.stdout), {})
    assert {(m.kind, m.name) for m in stack.manifests} == {
        (kind, name) for kind in ("NodePool", "EC2NodeClass") for name in ("x86-cpu-karpenter", "trainium-trn1")
    }
    assert "$" not in done.stdout
    assert {m.spec["role"] for m in stack.of("EC2NodeClass")} == {"nodes"}


def pools() -> dict[str, NodePool]:
    rendered = render(MANIFESTS / "nodepools", EXAMPLES)
    return {m.name: NodePool(m) for m in rendered if m.kind == "NodePool"}


def test_the_pools_are_the_workshops() -> None:
    x86, trn1 = pools()["x86-cpu-karpenter"], pools()["trainium-trn1"]
    assert x86.labels.items() >= {"type": "karpenter", "instanceType": "mixed-x86", "workload": "rayhead"}.items()
    assert set(x86.values("karpenter.k8s.aws/instance-family")) == {"c5", "m5", "r5"}
    assert [kind.name for kind in trn1.types] == ["trn1.2xlarge"]
    assert [dict(taint) for taint in trn1.taints] == [
        {"key": "aws.amazon.com/neuron", "value": "true", "effect": "NoSchedule"}
    ]
    assert x86.values("karpenter.sh/capacity-type") == trn1.values("karpenter.sh/capacity-type") == ("on-demand",)


def by_kind(folder: str) -> dict[str, Manifest]:
    return {f"{m.kind} {m.name}": m for m in render(MANIFESTS / "clusters" / folder, EXAMPLES)}


def leaves(value: object, path: str = "") -> dict[str, object]:
    """Every scalar of a manifest by its path; items of a list by their name where they have one."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in leaves(item, f"{path}.{key}").items()}
    if isinstance(value, list):
        named = [(item.get("name", i) if isinstance(item, dict) else i, item) for i, item in enumerate(value)]
        return {k: v for name, item in named for k, v in leaves(item, f"{path}[{name}]").items()}
    return {path: value}


def test_rehearsal_and_eks_differ_only_in_images_runner_model_object_stores_and_timers() -> None:
    eks, rehearsal = by_kind("eks"), by_kind("rehearsal")
    assert set(eks) == set(rehearsal)
    different = {key for key in eks if eks[key].value != rehearsal[key].value}
    assert different == {"RayService chatbot", "NodePool trainium-trn1"}
    pools = [leaves(side["NodePool trainium-trn1"].value) for side in (eks, rehearsal)]
    assert changed(*pools) == {".spec.disruption.consolidateAfter"}
    services = [leaves(side["RayService chatbot"].value) for side in (eks, rehearsal)]
    assert {last_name(path) for path in changed(*services)} == {
        "image", "serveConfigV2", "idleTimeoutSeconds", "terminationGracePeriodSeconds", "object-store-memory",
        "cluster/cold-start-seconds",
        "CHATBOT_RUNNER__KIND", "CHATBOT_MODEL__NAME", "CHATBOT_MODEL__CACHE_DIR", "CHATBOT_NEURON__ARTIFACTS",
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S", "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S", "RAY_gcs_rpc_server_reconnect_timeout_s", "RAY_worker_niceness",
    }  # fmt: skip
    configs = [leaves(yaml.safe_load(str(service[".spec.serveConfigV2"]))) for service in services]
    scaling = ".applications[chatbot].deployments[Chat].autoscaling_config."
    assert changed(*configs) == {
        f"{scaling}{name}" for name in ("look_back_period_s", "upscale_delay_s", "downscale_delay_s")
    }


def last_name(path: str) -> str:
    """Of a variable, its name; of anything else, the last key."""
    return [word for word in re.split(r"[\[\].]", path) if word not in {"", "name", "value"}][-1]


def changed(before: dict[str, object], after: dict[str, object]) -> set[str]:
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def test_head_and_workers_of_the_rehearsal_have_the_same_environment() -> None:
    cluster = by_kind("rehearsal")["RayService chatbot"].get("spec", "rayClusterConfig")
    head, worker = cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]
    assert head["template"]["spec"]["containers"][0]["env"] == worker["template"]["spec"]["containers"][0]["env"]
    assert head["rayStartParams"] == worker["rayStartParams"]


def test_the_chatbot_is_open_to_the_cluster_alone_and_an_ingress_brings_keys(tmp_path: Path) -> None:
    assert environments(by_kind("eks")["RayService chatbot"], "CHATBOT_API__TRUSTED_NETWORK") == ["true", "true"]
    [port_8000] = by_kind("eks")["NetworkPolicy chatbot-clients"].spec["ingress"]
    assert port_8000["from"] == [{"namespaceSelector": {}}]
    behind = next(m for m in render(overlay(tmp_path, "ingress"), EXAMPLES) if m.kind == "RayService")
    assert environments(behind, "CHATBOT_API__TRUSTED_NETWORK") == ["false", "false"]
    assert environments(behind, "CHATBOT_API__API_KEYS_FILE") == ["/etc/chatbot/keys"] * 2


def environments(service: Manifest, name: str) -> list[str]:
    """The values of a variable on the head and on each group of workers."""
    config = service.spec["rayClusterConfig"]
    containers = [
        group["template"]["spec"]["containers"][0] for group in (config["headGroupSpec"], *config["workerGroupSpecs"])
    ]
    return [entry["value"] for container in containers for entry in container["env"] if entry["name"] == name]


def test_the_one_serve_config_stands_in_the_ray_service_word_for_word() -> None:
    written = (MANIFESTS / "serve/serve.yaml").read_text()
    assert by_kind("eks")["RayService chatbot"].get("spec", "serveConfigV2") == written
