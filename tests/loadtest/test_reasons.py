"""The sentence of a broken link: who refused it, else what its absence means."""

from __future__ import annotations

from loadtest import reasons
from loadtest.observers import Cause
from loadtest.observers.watched import Account
from loadtest.stages import SCALE_IN, SCALE_OUT
from loadtest.timeline import HEAD_POD, NO_REPLICA, Chain, StageTime

STAGE = "nodeclaim-created"
REACHED = (StageTime("load-applied", "reached", 3.0, 0.0), StageTime("pod-created", "reached", 4.5, 1.5))


def chain(replica: str = NO_REPLICA) -> Chain:
    return Chain(replica, (*REACHED, StageTime(STAGE, "missing")), frozenset({"pod:mine"}))


def said(*causes: Cause, replica: str = NO_REPLICA, stage: str = STAGE) -> str:
    return reasons.reason(stage, chain(replica), Account(causes=causes))


def test_without_a_cause_it_says_what_the_missing_link_means() -> None:
    assert said() == "no node pool took the pending pod; the last link that held was pod-created at 4.5 s"


def test_every_link_that_can_be_missing_has_a_meaning() -> None:
    for stage in (*SCALE_OUT[1:], *SCALE_IN[1:]):
        assert said(stage=stage)


def test_what_is_definite_is_told_before_what_may_pass() -> None:
    assert said(Cause(STAGE, "it may pass"), Cause(STAGE, "it stays", definite=True)).startswith("it stays")


def test_what_speaks_of_this_very_pod_is_told_before_what_is_said_of_all() -> None:
    assert said(Cause(STAGE, "of all"), Cause(STAGE, "of mine", subject="pod:mine")).startswith("of mine")


def test_what_is_said_of_another_pod_or_another_link_is_not_told() -> None:
    assert "other" not in said(Cause(STAGE, "other pod", subject="pod:other"), Cause("image-pulled", "other link"))


def test_it_says_whose_chain_it_is() -> None:
    assert " (replica abc)" in said(replica="abc")
    assert " (head)" in said(replica=HEAD_POD)


def test_only_a_definite_cause_makes_waiting_pointless() -> None:
    account = Account(causes=(Cause(STAGE, "it may pass"),))
    assert not reasons.is_definite(STAGE, chain(), account)
    account = Account(causes=(Cause(STAGE, "it stays", definite=True),))
    assert reasons.is_definite(STAGE, chain(), account)
