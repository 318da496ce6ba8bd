import pytest

from cluster.lint.engine import all_rules, lint
from cluster.lint.registry import HOPS
from tests.support.lint_cases import CASES, CHAT, container, env, node_class, requirement, serve, worker
from tests.support.lint_stack import GONE, Add, Edit, build

OF_THE_READER = {
    "unreadable-file",
    "repeated-key",
    "placeholder-unset",
}  # what no stack of objects shows: test_source.py
POLICY = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: limits}
spec: {rules: [{validate: {pattern: {spec: {containers: [{resources: {limits: {memory: "?*"}}}]}}}}]}
"""


def test_the_clean_stack_has_no_finding() -> None:
    assert [(finding.rule, finding.path, finding.message) for finding in lint(build()).findings] == []


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_finds_its_broken_case(rule: str) -> None:
    found = [finding for finding in lint(build(CASES[rule])).findings if finding.rule == rule]
    assert found
    assert all(finding.message and finding.fix and finding.evidence for finding in found)


def test_every_rule_has_a_case_and_guards_a_hop() -> None:
    rules = {rule.id: rule for rule in all_rules()}
    assert set(rules) - OF_THE_READER == set(CASES)
    assert {rule.hop for rule in rules.values()} == set(HOPS)


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        ("kind-unknown", Edit("pool", "kind", "Nodepool"), "did you mean NodePool?"),
        (
            "version-unknown",
            Edit("service", "apiVersion", "ray.io/v1beta1"),
            "`ray.io/v1beta1` has no RayService; RayService is ray.io/v1",
        ),
        ("version-unknown", Edit("service", "apiVersion", "v1"), "`v1` has no RayService; RayService is ray.io/v1"),
        ("version-unknown", Edit("pool", "apiVersion", "karpenter.sh"), "NodePool is karpenter.sh/v1"),
        ("version-unknown", Edit("pool", "apiVersion", GONE), "apiVersion is missing; NodePool is karpenter.sh/v1"),
        ("kind-unknown", Edit("pool", "kind", GONE), "the kind is missing; karpenter.sh has NodeClaim"),
        (
            "quantity-invalid",
            Edit("pool", "spec.limits.cpu", "48 cores"),
            "`48 cores` is no quantity; did you mean 48?",
        ),
        ("quantity-invalid", Edit("quota", "spec.hard.requests\\.cpu", "twelve"), "`twelve` is no quantity"),
        ("quantity-invalid", container("resources.requests.memory", "26G i"), "did you mean 26Gi?"),
        ("quantity-invalid", container("resources.requests.memory", " 26Gi"), "did you mean 26Gi?"),
        ("quantity-invalid", container("resources.requests.cpu", "100 m"), "did you mean 100m?"),
        (
            "quantity-invalid",
            container("resources.requests.memory", "26gb"),
            "did you mean 26Gi, or 26G in powers of 1000?",
        ),
        ("quantity-invalid", worker("volumes[0].emptyDir.sizeLimit", "100 kib"), "did you mean 100Ki?"),
        ("requirement-value-unknown", requirement("kubernetes.io/os", "Linux"), "did you mean linux?"),
        ("requirement-value-unknown", requirement("kubernetes.io/arch", "x86_64"), "did you mean amd64?"),
        ("requirement-value-unknown", requirement("kubernetes.io/os", "plan9"), "it is linux, windows"),
        (
            "ami-alias-invalid",
            node_class("amiSelectorTerms", [{"alias": "AL2023@latest"}]),
            "the family is none of al2",
        ),
        ("ami-alias-invalid", node_class("amiSelectorTerms", [{"alias": "al2023"}]), "`` is no version of al2023"),
    ],
)
def test_a_misspelt_value_is_said_with_the_one_that_was_meant(rule: str, change: Edit, said: str) -> None:
    messages = [finding.message for finding in lint(build([change])).findings if finding.rule == rule]
    assert any(said in message for message in messages), messages


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("kind-unknown", Edit("service", "kind", "RayCluster")),
        ("kind-unknown", Edit("pool", "kind", "Provisioner")),
        ("version-unknown", Edit("service", "apiVersion", "ray.io/v1alpha1")),
        ("version-unknown", Edit("pool", "apiVersion", "karpenter.sh/v1beta1")),
        ("version-unknown", Edit("pool", "apiVersion", "karpenter.sh/${VERSION}")),
        ("quantity-invalid", container("resources.requests.memory", "${MEMORY}")),
        ("quantity-invalid", container("resources.requests.memory", "$MEMORY")),
        ("quantity-invalid", Add(POLICY)),
        ("quantity-invalid", container("resources.requests.memory", 26e9)),
        ("quantity-invalid", container("resources.requests.cpu", ".5")),
        ("quantity-invalid", container("resources.requests.cpu", "6000m")),
        ("scaling-delays-short", serve(f"{CHAT}.autoscaling_config.downscale_delay_s", "600s")),
        ("scaling-delays-short", serve(f"{CHAT}.autoscaling_config.look_back_period_s", "30s")),
        ("requirement-value-unknown", requirement("kubernetes.io/arch", "amd64", "arm64", operator="NotIn")),
        ("requirement-value-unknown", requirement("karpenter.sh/capacity-type", "reserved", "${TYPE}")),
        ("ami-alias-invalid", node_class("amiSelectorTerms", [{"alias": "al2023@${VERSION}"}])),
        ("ami-alias-invalid", node_class("amiSelectorTerms", [{"alias": "bottlerocket@1.20.3"}])),
        ("ami-alias-invalid", node_class("amiSelectorTerms", [{"alias": "windows2022@latest"}])),
    ],
)
def test_an_unusual_value_that_is_right_is_let_pass(rule: str, change: Edit | Add) -> None:
    assert rule not in {finding.rule for finding in lint(build([change])).findings}


def test_a_request_that_is_no_quantity_is_not_called_missing() -> None:
    found = {finding.rule for finding in lint(build([*CASES["quantity-invalid"]])).findings}
    assert "accelerator-pod-without-requests" not in found
    changes = [container(f"resources.{part}.memory", "26GB") for part in ("requests", "limits")]
    assert "accelerator-pod-without-requests" not in {finding.rule for finding in lint(build(changes)).findings}


@pytest.mark.parametrize(
    ("ami", "image", "refused"),
    [
        ("al2023@v20260618", "registry/ours:1.0", False),
        ("al2023@v20260801", "registry/ours:1.0", True),
        ("al2023@latest", "registry/ours:1.0", True),
        ("al2023@v20260801", "neuron:2.9.0-neuronx-py312-sdk2.30.0-ubuntu24.04", True),
        ("al2023@v20260801", "neuron:2.9.0-neuronx-py312-sdk2.31.0-ubuntu24.04", False),
    ],
)
def test_a_workers_runtime_is_judged_by_its_tag_or_by_what_our_own_workers_are_built_on(
    ami: str, image: str, refused: bool
) -> None:
    changes = [
        Edit("class", "spec.amiSelectorTerms", [{"alias": ami}]),
        container("image", image),
        env("CHATBOT_RUNNER__KIND", "neuron"),
    ]
    found = [finding.message for finding in lint(build(changes)).findings if finding.rule == "sdk-driver-pair"]
    assert bool(found) is refused
    assert all("runtime" in message for message in found)


def test_a_head_may_live_on_nodes_that_nobody_rendered() -> None:
    """With accelerator pools only, its selector speaks of a managed node group as likely as of a typing error."""
    changes = [Edit("x86", "", GONE), Edit("x86class", "", GONE)]
    found = {finding.rule: finding.severity for finding in lint(build(changes)).findings}
    assert found["selector-label-not-provided"] == "warning"
    assert "error" not in found.values()
