"""Did it scale out, did it scale in, and if not, which link broke? Pure, over what was watched and measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from loadtest import timeline
from loadtest.observers import ScalingRule
from loadtest.observers.watched import Watched
from loadtest.record import Record
from loadtest.slo import Objective
from loadtest.spec import Profile
from loadtest.timeline import Chain, StageTime


class Verdict(str, Enum):
    """The one word of a run."""

    PASS = "pass"  # noqa: S105 - a verdict
    SLO_FAILED = "slo-failed"
    AUTOSCALING_FAILED = "autoscaling-failed"
    VOID = "void"

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        return {"pass": 0, "slo-failed": 1, "autoscaling-failed": 2, "void": 3}[self.value]


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first link of a chain that did not hold."""

    stage: str
    waited_s: float
    reason: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replica rule, and what came of it."""

    before: int
    expected: int | None  # None: an open loop, in which the rule gives no single number
    observed: int  # when the load ended
    after: int | None  # at the end of the watch
    rule: str


@dataclass(frozen=True, slots=True)
class Scaling:
    """What `verify` adds to a run."""

    replicas: Replicas
    scale_out: tuple[Chain, ...]
    scale_in: tuple[Chain, ...]
    broken_link: BrokenLink | None


def expected_replicas(users: int, rule: ScalingRule) -> int:
    """Of a closed loop that keeps `users` requests in flight: clamp(ceil(users / target))."""
    return min(max(math.ceil(users / rule.target_ongoing_requests), rule.min_replicas), rule.max_replicas)


def wanted_replicas(profile: Profile, rule: ScalingRule) -> int | None:
    """What the heaviest stage asks for; None for an open loop."""
    if profile.loop == "open":
        return None
    return expected_replicas(max(stage.users or 0 for stage in profile.stages), rule)


def judge(
    profile: Profile,
    watched: Watched,
    records: Sequence[Record],
    *,
    known: Sequence[str],
    applied_s: float,
    removed_s: float,
) -> Scaling:
    """Scale-out between `applied_s` and `removed_s`, scale-in after it; `known` are the replicas that ran before."""
    wanted = wanted_replicas(profile, watched.rule) if watched.rule else None
    before = len(known)
    observed = int(watched.last("replicas_running", before_s=removed_s) or 0)
    missing = max(1, (wanted if wanted is not None else before + 1) - before)
    out = timeline.scale_out(
        watched.events,
        records,
        known=known,
        applied_s=applied_s,
        until_s=removed_s,
        wanted=missing,
        visible=watched.stages,
    )
    surplus = max(0, observed - (watched.rule.min_replicas if watched.rule else before))
    back = timeline.scale_in(watched.events, removed_s=removed_s, wanted=surplus, visible=watched.stages)
    after = watched.last("replicas_running")
    replicas = Replicas(
        before, wanted, observed, None if after is None else int(after), _rule_in_words(profile, watched)
    )
    broken = (
        _cap_too_low(watched.rule, before, removed_s - applied_s, watched)
        or _broken(out, removed_s, watched.evidence_under_load, profile)
        or _wrong_count(replicas, watched, removed_s - applied_s)
        or _broken(back, watched.until_s, watched.evidence, profile)
    )
    return Scaling(replicas, out, back, broken)


def overall(void: Sequence[str], scaling: Scaling | None, objectives: Sequence[Objective]) -> Verdict:
    """A void run says nothing; a scaling failure outweighs a missed SLO, which it usually explains."""
    if void:
        return Verdict.VOID
    if scaling is not None and scaling.broken_link is not None:
        return Verdict.AUTOSCALING_FAILED
    return Verdict.PASS if all(objective.passed for objective in objectives) else Verdict.SLO_FAILED


def _cap_too_low(rule: ScalingRule | None, before: int, waited_s: float, watched: Watched) -> BrokenLink | None:
    if rule is None or rule.max_replicas > before:
        return None
    return BrokenLink(
        "serve-target-raised",
        waited_s,
        f"max_replicas is {rule.max_replicas} and {before} ran already: Serve may not raise its target",
        _flat(watched.evidence_under_load),
    )


def _broken(
    chains: Sequence[Chain], until_s: float, evidence: dict[str, tuple[str, ...]], profile: Profile
) -> BrokenLink | None:
    for chain in chains:
        late = next((stage for stage in chain.stages if _over_budget(stage, profile)), None)
        missing = chain.broken_at
        if missing is not None:
            last = chain.last_reached
            waited_s = until_s - (last.at_s or 0.0)
            return BrokenLink(missing.name, waited_s, _reason(missing.name, chain, last), _flat(evidence))
        if late is not None:
            budget_s = profile.scaling.stage_budget_s[late.name]
            reason = f"{late.name} took {late.took_s:.1f} s for {chain.replica}, above its budget of {budget_s:g} s"
            return BrokenLink(late.name, late.took_s or 0.0, reason, _flat(evidence))
    return None


def _over_budget(stage: StageTime, profile: Profile) -> bool:
    budget_s = profile.scaling.stage_budget_s.get(stage.name)
    return budget_s is not None and stage.took_s is not None and stage.took_s > budget_s


def _wrong_count(replicas: Replicas, watched: Watched, waited_s: float) -> BrokenLink | None:
    if replicas.expected is None or replicas.observed == replicas.expected:
        return None
    return BrokenLink(
        "serve-target-raised",
        waited_s,
        f"{replicas.observed} replicas ran when the load ended, not {replicas.expected} ({replicas.rule})",
        _flat(watched.evidence_under_load),
    )


_WHAT_IT_MEANS = {
    "serve-target-raised": "Serve did not raise its target: the load it saw did not exceed target_ongoing_requests long enough",
    "ray-demand-raised": "Ray did not ask for another node",
    "pod-created": "no worker pod was created for the demand",
    "nodeclaim-created": "no node pool took the pending pod",
    "node-launched": "the cloud did not launch the machine",
    "node-registered": "the machine did not join the cluster",
    "device-advertised": "the node does not advertise its Neuron devices",
    "pod-scheduled": "the pod was not scheduled onto the node",
    "image-pulled": "the image was not pulled",
    "container-started": "the container did not start",
    "ray-node-joined": "the pod's raylet did not join the Ray cluster",
    "replica-started": "the replica's process was not started: nothing has the resources that it asks for",
    "model-loaded": "the replica did not load its model",
    "replica-running": "the replica started and did not become ready",
    "first-token": "the replica runs and no client got a token from it",
    "serve-target-lowered": "Serve did not lower its target",
    "replica-drained": "a surplus replica did not end",
    "ray-node-idle": "Ray did not see its node as idle",
    "pod-deleted": "the worker pod was not deleted",
    "node-emptied": "the node was not emptied",
    "node-deleted": "the node was not deleted",
}  # fmt: skip


def _reason(stage: str, chain: Chain, last: StageTime) -> str:
    who = "" if chain.replica == timeline.NO_REPLICA else f" (replica {chain.replica})"
    return f"{_WHAT_IT_MEANS[stage]}{who}; the last link that held was {last.name} at {last.at_s or 0.0:.1f} s"


def _rule_in_words(profile: Profile, watched: Watched) -> str:
    rule = watched.rule
    if rule is None:
        return "the autoscaling rule could not be read"
    if profile.loop == "open":
        return f"open loop: more than before, at most {rule.max_replicas}"
    users = max(stage.users or 0 for stage in profile.stages)
    return f"clamp(ceil({users} users / target {rule.target_ongoing_requests:g}), {rule.min_replicas}, {rule.max_replicas})"


def _flat(evidence: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(line for lines in evidence.values() for line in lines)
