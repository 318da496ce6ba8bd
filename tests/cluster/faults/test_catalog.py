"""What lint says of each seeded fault, on the manifests that this repository ships."""

import io
import re
from functools import cache
from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.faults.catalog import FAULTS, chosen
from cluster.faults.edit import apply
from cluster.faults.fault import Fault
from cluster.faults.outcome import Outcome, judge
from cluster.faults.results import read
from cluster.lint.engine import lint
from cluster.lint.source import load
from cluster.lint.stack import Stack
from cluster.placeholders import declared
from loadtest import reasons, stages
from loadtest.observers.watched import Account
from loadtest.timeline import HEAD_POD, Chain, StageTime

MANIFESTS = Path("manifests")
EXAMPLES = {name: placeholder.example for name, placeholder in declared(MANIFESTS).items()}
STAGES = re.findall(
    r"[a-z-]+",
    """
    serve-target-raised ray-demand-raised pod-created nodeclaim-created node-launched node-registered device-advertised
    pod-scheduled image-pulled container-started ray-node-joined replica-started model-loaded replica-running first-token
    serve-target-lowered replica-drained ray-node-idle pod-deleted node-emptied node-deleted
""",
)


@cache
def stack(overlay: str) -> Stack:
    return load(str(MANIFESTS / "clusters" / overlay), io.StringIO(), EXAMPLES)


def told(stack: Stack) -> set[str]:
    return {finding.rule for finding in lint(stack).findings if finding.severity != "info"}


@pytest.mark.parametrize("overlay", ["rehearsal", "eks"])
@pytest.mark.parametrize("fault", [f for f in FAULTS if f.lint], ids=lambda f: f.name)
def test_lint_says_beforehand_what_it_can_know(fault: Fault, overlay: str) -> None:
    assert fault.lint in told(Stack(apply(fault.edits, stack(overlay).manifests)))


@pytest.mark.parametrize("overlay", ["rehearsal", "eks"])
def test_lint_says_nothing_of_what_is_not_broken(overlay: str) -> None:
    assert told(stack(overlay)) == set()


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.edits and not f.lint], ids=lambda f: f.name)
def test_what_lint_cannot_know_it_lets_pass(fault: Fault) -> None:
    assert told(Stack(apply(fault.edits, stack("rehearsal").manifests))) == set()


def test_every_fault_is_one_of_its_name_and_somebody_has_to_name_it() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 24
    for fault in FAULTS:
        assert fault.edits or fault.scenario or fault.without, fault.name
        assert fault.verdict or (fault.lint and fault.not_rehearsed), fault.name
        assert not fault.verdict or fault.verdict.stage in STAGES, fault.name


def unexplained(stage: str) -> str:
    """All that a verdict can say of a missing link whose cause nobody saw, whichever link held last."""
    last = {StageTime(name, "reached", 1.0, 0.0) for name in (*stages.SCALE_OUT, *stages.SCALE_IN) if name != stage}
    return "\n".join(reasons.reason(stage, Chain(HEAD_POD, (one,)), Account()) for one in last)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.verdict and f.verdict.words], ids=lambda f: f.name)
def test_a_cause_that_nobody_saw_names_no_fault(fault: Fault) -> None:
    assert fault.verdict
    assert fault.verdict.words.lower() not in unexplained(fault.verdict.stage).lower()


@pytest.mark.parametrize("outcome", read().faults.values(), ids=lambda outcome: outcome.name)
def test_what_is_committed_is_judged_by_the_catalog_as_it_is(outcome: Outcome) -> None:
    (fault,) = chosen([outcome.name])
    said = {"verdict": outcome.verdict, "broken_link": {"stage": outcome.stage, "reason": outcome.reason}}
    assert judge(fault, said, outcome.took_s).right == outcome.right


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    assert [fault.name for fault in chosen(["operator-dead"])] == ["operator-dead"]
    with pytest.raises(Refused, match="no fault nonsense: use max-replicas-is-min"):
        chosen(["nonsense"])
