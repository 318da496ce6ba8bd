"""The manifests that this repository ships: what renders, what it makes, and that it agrees with itself."""

import io
import os
import subprocess
from pathlib import Path

import pytest

from cluster.kustomize import kubectl, render
from cluster.lint.engine import lint
from cluster.lint.karpenter import NodePool
from cluster.lint.source import load
from cluster.objects import Manifest
from cluster.placeholders import declared

MANIFESTS = Path("manifests")
EXAMPLES = {name: placeholder.example for name, placeholder in declared(MANIFESTS).items()}
COMPONENTS = sorted(path.name for path in (MANIFESTS / "chat/components").iterdir())


@pytest.mark.parametrize("folder", ["nodepools", "platform", "clusters/eks", "clusters/rehearsal", "loadtest"])
def test_our_manifests_have_no_error_and_no_warning(folder: str) -> None:
    findings = lint(load(str(MANIFESTS / folder), io.StringIO(), EXAMPLES)).findings
    assert [(f.rule, f.message) for f in findings if f.severity != "info"] == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_renders_and_adds_no_error(component: str, tmp_path: Path) -> None:
    overlay, folder = tmp_path / "overlay", MANIFESTS.resolve()
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        f"resources: [{os.path.relpath(folder / 'clusters/rehearsal', overlay)}]\n"
        f"components: [{os.path.relpath(folder / 'chat/components' / component, overlay)}]\n"
    )
    (overlay / "placeholders.yaml").write_text((MANIFESTS / "placeholders.yaml").read_text())
    findings = lint(load(str(overlay), io.StringIO(), EXAMPLES)).findings
    assert [(f.rule, f.message) for f in findings if f.severity == "error"] == []
    assert len(render(overlay, EXAMPLES)) >= 18


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


def test_rehearsal_and_eks_differ_only_in_images_runner_and_its_model() -> None:
    eks, rehearsal = by_kind("eks"), by_kind("rehearsal")
    assert set(eks) == set(rehearsal)
    assert [key for key in eks if eks[key].value != rehearsal[key].value] == ["RayService chatbot"]
    ours, theirs = (repr(side["RayService chatbot"].value) for side in (eks, rehearsal))
    for placeholder, tag in (
        ("CHATBOT_CPU_IMAGE", "chatbot-cpu:rehearsal"),
        ("CHATBOT_NEURON_IMAGE", "chatbot-neuron:rehearsal"),
    ):
        ours = ours.replace(EXAMPLES[placeholder], tag)
    for name, value in (
        ("CHATBOT_MODEL__NAME", "Mistral-7B-Instruct-v0.3"),
        ("CHATBOT_MODEL__CACHE_DIR", "/models"),
        ("CHATBOT_NEURON__ARTIFACTS", EXAMPLES["CHATBOT_ARTIFACTS"]),
    ):
        entry = repr({"name": name, "value": value})
        assert ours.count(entry) == 2, f"head and worker both need {name}"
        ours = ours.replace(f", {entry}", "")
    assert ours.replace("'value': 'neuron'", "'value': 'simulated'") == theirs


def test_the_one_serve_config_stands_in_the_ray_service_word_for_word() -> None:
    written = (MANIFESTS / "serve/serve.yaml").read_text()
    assert by_kind("eks")["RayService chatbot"].get("spec", "serveConfigV2") == written
