"""What a seeded fault is: the change, and what has to be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cluster.faults.edit import Edit

SERVE_CONFIG = "/spec/serveConfigV2/"  # a change in it reaches a running cluster
STAGE_ONLY = ""  # the words where nobody can see the cause: then the verdict names a stage and no more
_MILD = frozenset({"NodePool", "ResourceQuota"})


class Phase(str, Enum):
    """When it shows: before the chatbot answers at all, when it should grow, when it should shrink."""

    DEPLOY = "deploy"
    SCALE_OUT = "scale-out"
    SCALE_IN = "scale-in"


@dataclass(frozen=True, slots=True)
class Named:
    """What the verdict has to say: the stage that breaks, and words that its reason must hold.

    The words are of a cause that somebody saw: never of the sentence that a verdict makes of a missing link of itself.
    """

    stage: str
    words: str
    verdict: str = "autoscaling-failed"  # "void" where the fault leaves nothing to measure by


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `lint` or `verdict` names it, mostly both."""

    name: str
    sentence: str  # what somebody did, or what happened
    phase: Phase
    edits: tuple[Edit, ...] = ()
    # Fields of the lab's scenario that differ: such a fault gets a lab of its own.
    scenario: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()  # components that stop, or processes of pods that hang, when the phase begins
    lint: str | None = None  # the rule that says it beforehand
    verdict: Named | None = None
    not_rehearsed: str = ""  # why the lab cannot show it, where it cannot

    @property
    def in_place(self) -> bool:
        """Whether a chatbot that stands can be broken so and mended: then it need not be deployed anew."""
        mild = (edit.kind in _MILD or edit.path.startswith(SERVE_CONFIG) for edit in self.edits)
        return self.phase is Phase.SCALE_OUT and not self.scenario and all(mild)
