"""Chains with what each stage was rehearsed as, takes in production, and is predicted to take there. Pure.

Every predicted figure is arithmetic over a measured one (`loadtest.rehearsal`); names and texts say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from loadtest.rehearsal import Rehearsal
from loadtest.spec import Profile
from loadtest.timeline import Chain, StageTime


def chains(found: Sequence[Chain], rehearsal: Rehearsal | None) -> list[dict[str, Any]]:
    """Each with its stages, its measured length, and its predicted one where every link was reached."""
    return [_chain(chain, rehearsal) for chain in found]


def rehearsed(rehearsal: Rehearsal, profile: Profile) -> dict[str, Any]:
    """What of this target's time is not production's."""
    return {
        **rehearsal.model_dump(mode="json"),
        "slo_scaled": {name: getattr(profile.slo, name) for name in profile.slo.scale_with_speed},
    }


def _chain(chain: Chain, rehearsal: Rehearsal | None) -> dict[str, Any]:
    stages = [_stage(stage, rehearsal) for stage in chain.stages]
    instants = [stage.at_s for stage in chain.stages if stage.at_s is not None]  # the first is where the chain begins
    predicted = [stage["predicted_s"] for stage in stages if stage["predicted_s"] is not None]
    complete = rehearsal is not None and chain.broken_at is None
    return {
        "replica": chain.replica,
        "stages": stages,
        "took_s": max(instants) - instants[0],
        "predicted_s": sum(predicted) if complete else None,
    }


def _stage(stage: StageTime, rehearsal: Rehearsal | None) -> dict[str, Any]:
    row: dict[str, Any] = {**asdict(stage), "rehearsed_s": None, "production_s": None, "predicted_s": None}
    if rehearsal is not None and stage.took_s is not None:
        row["rehearsed_s"], row["production_s"] = rehearsal.replaced_s(stage.name, stage.took_s)
        row["predicted_s"] = rehearsal.predicted_s(stage.name, stage.took_s)
    return row
