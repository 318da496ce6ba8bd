import pytest

from cluster.lint.engine import all_rules, lint
from cluster.lint.registry import HOPS
from tests.support.lint_cases import CASES, container, env
from tests.support.lint_stack import GONE, Edit, build

OF_THE_READER = {
    "unreadable-file",
    "repeated-key",
    "placeholder-unset",
}  # what no stack of objects shows: test_source.py


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
