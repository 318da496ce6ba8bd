"""What the verdict said of a fault, and whether that was right. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cluster.faults.fault import Fault
from cluster.objects import dig, mapping, text

CONTROL = "nothing is broken"
_MEASURED = ("pass", "slo-failed")  # a slow chatbot is no broken chain; a void run has shown nothing


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. `stage` is empty where the verdict named no broken link."""

    name: str
    phase: str
    verdict: str  # of the load test; empty where it came to none
    stage: str
    reason: str
    right: bool
    took_s: float  # from the change to the verdict, the lab's own start not counted
    problem: str = ""  # what is wrong with the verdict, or why there was none

    def document(self) -> dict[str, Any]:
        """As in the results."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Outcome:
        """The reverse."""
        return cls(**document)


def judge(fault: Fault, verdict: Mapping[str, Any], took_s: float) -> Outcome:
    """Whether the broken link of a verdict document is the one that was broken."""
    link = mapping(verdict.get("broken_link"))
    stage, reason = text(link.get("stage")), text(link.get("reason"))
    said = text(verdict.get("verdict"))
    right, problem = _right(fault, said, link)
    return Outcome(fault.name, fault.phase.value, said, stage, reason, right, took_s, problem)


def judge_control(phase: str, verdict: Mapping[str, Any], took_s: float) -> Outcome:
    """A run in which nothing is broken: any broken link is a false alarm, and a run that measured nothing shows nothing."""
    stage, reason = text(dig(verdict, "broken_link", "stage")), text(dig(verdict, "broken_link", "reason"))
    said = text(verdict.get("verdict"))
    problem = f"false alarm: {stage}" if stage else "" if said in _MEASURED else f"the verdict is {said or 'missing'}"
    return Outcome(CONTROL, phase, said, stage, reason, not problem, took_s, problem)


def unjudged(name: str, phase: str, why: str, took_s: float) -> Outcome:
    """A run that came to no verdict: counted as wrong."""
    return Outcome(name, phase, "", "", "", right=False, took_s=took_s, problem=why)


def _right(fault: Fault, said: str, link: Mapping[str, Any]) -> tuple[bool, str]:
    stage = text(link.get("stage"))
    if fault.verdict is None:
        return False, "nobody has said what the verdict should name"
    if said != fault.verdict.verdict:
        return False, f"the verdict is {said or 'missing'}"
    if stage != fault.verdict.stage:
        return False, f"names {stage or 'nothing'}, not {fault.verdict.stage}"
    if fault.verdict.words.lower() not in text(link.get("reason")).lower():
        return False, f"the reason does not say {fault.verdict.words!r}"
    return True, ""
