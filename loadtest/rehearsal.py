"""What of a rehearsed run's time is simulated or shortened, and what the same stage would take in production. Pure.

A prediction is arithmetic over one measurement, never a measurement: took − what was rehearsed + what production takes
instead, stage by stage. What nobody replaced (Ray's, Karpenter's and Kubernetes' own work) stays as it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtest.errors import UsageError
from loadtest.spec import Profile

STAMP_S = 1.0  # objects carry whole seconds
IN_SECONDS = {"s": 1.0, "ms": 1e-3, "min": 60.0}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Simulated(_Part):
    """A stage whose length a scenario gives."""

    rehearsed_s: float = Field(ge=0, description="Waited here, already divided by the speed.")
    production_s: float = Field(ge=0, description="Measured in the field.")
    what: str = ""


class Timer(_Part):
    """A time constant that the target's manifests shorten."""

    name: str
    rehearsed: float
    production: float
    unit: str = "s"
    stage: str | None = Field(None, description="The stage that waits for it; None: none of the chain.")


class Rehearsal(_Part):
    """The `rehearsal` block of a target's state."""

    speed: float = Field(gt=0, description="By which simulated times are divided.")
    stages: dict[str, Simulated] = Field(default_factory=dict)
    timers: tuple[Timer, ...] = ()

    def predicted_s(self, stage: str, took_s: float) -> float:
        """What the stage would take in production."""
        rehearsed_s, production_s = self.replaced_s(stage, took_s)
        return max(0.0, took_s - rehearsed_s) + production_s

    def replaced_s(self, stage: str, took_s: float) -> tuple[float, float]:
        """Seconds of this stage that were rehearsed, and those of production in their place.

        A simulated wait that the stage is too short for did not happen: the image was on the node, the model in the cache.
        """
        pairs = [
            (timer.rehearsed * IN_SECONDS[timer.unit], timer.production * IN_SECONDS[timer.unit])
            for timer in self.timers
            if timer.stage == stage and timer.unit in IN_SECONDS
        ]
        simulated = self.stages.get(stage)
        if simulated is not None and took_s >= simulated.rehearsed_s - STAMP_S:
            pairs.append((simulated.rehearsed_s, simulated.production_s))
        return sum(rehearsed for rehearsed, _ in pairs), sum(production for _, production in pairs)


def from_state(state: Mapping[str, Any]) -> Rehearsal | None:
    """None on a target that rehearses nothing. Raises UsageError."""
    block = state.get("rehearsal")
    if block is None:
        return None
    try:
        return Rehearsal.model_validate(block)
    except ValidationError as error:
        where = ".".join(str(part) for part in ("rehearsal", *error.errors()[0]["loc"]))
        raise UsageError(f"{where} of the target's state is not what it should be: deploy the target again") from error


def for_speed(profile: Profile, rehearsal: Rehearsal | None) -> Profile:
    """The profile with the limits that it declares for production divided by the target's speed."""
    names = profile.slo.scale_with_speed
    if rehearsal is None or not names:
        return profile
    limits: dict[str, float] = {
        str(name): limit / rehearsal.speed for name in names if (limit := getattr(profile.slo, name)) is not None
    }
    return profile.model_copy(update={"slo": profile.slo.model_copy(update=limits)})
