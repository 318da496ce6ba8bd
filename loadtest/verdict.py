"""Did it scale out, did it scale in, and if not, which link broke? Pure, over what was watched and measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from loadtest import concurrency, reasons, timeline
from loadtest.observers import Cause, Event, ScalingRule
from loadtest.observers.watched import Account, Watched
from loadtest.record import Outcome, Record
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
    expected: int | None  # None: the rule gives no single number for this load, and `rule` says why
    observed: int  # when the load ended
    after: int | None  # at the end of the watch
    rule: str
    nodes_launched: int | None = None  # for workers, under load; None: nobody saw machines


@dataclass(frozen=True, slots=True)
class Scaling:
    """What `verify` adds to a run."""

    replicas: Replicas
    scale_out: tuple[Chain, ...]
    scale_in: tuple[Chain, ...]
    broken_link: BrokenLink | None
    inconclusive: str = ""  # why a link that is missing is no finding; the run is void then


def expected_replicas(users: int, rule: ScalingRule) -> int:
    """Of a closed loop that keeps `users` requests in flight: clamp(ceil(users / target))."""
    return min(max(math.ceil(users / rule.target_ongoing_requests), rule.min_replicas), rule.max_replicas)


def has_scaled(users: int, watched: Watched, answered: Collection[str]) -> bool:
    """Whether as many replicas run, and have answered, as `users` ask for."""
    if watched.rule is None:
        return False
    wanted = expected_replicas(users, watched.rule)
    return (watched.last("replicas_running") or 0) == wanted and len(answered) >= wanted


def wanted_replicas(profile: Profile, rule: ScalingRule) -> int | None:
    """What the heaviest stage asks for; None where the rule gives no single number."""
    return None if why_no_number(profile, rule) else expected_replicas(profile.most_users, rule)


def why_no_number(profile: Profile, rule: ScalingRule) -> str:
    """Why nobody can say how many requests will be in flight; empty for users who always wait for an answer."""
    if profile.loop == "open":
        return "open loop"
    if profile.prompts.users_pause:
        return f"the {profile.most_users} users think between turns, and are not always waiting for an answer"
    fewest, most = max(1, rule.min_replicas), rule.max_ongoing_requests
    if most is not None and profile.most_users > most * fewest:
        return f"{profile.most_users} users are more than the {most * fewest} requests that max_ongoing_requests {most} lets in"
    return ""


def load_steps(profile: Profile, rule: ScalingRule | None, *, before: int) -> tuple[Event, ...]:
    """When the load was applied, and, where the rule gives numbers, each time that it came to ask for more replicas."""
    starts_s = profile.stage_starts_s()
    first = Event("load-applied", starts_s[profile.load_stage], "client")
    if rule is None or why_no_number(profile, rule):
        return (first,)
    steps, had = [], before
    for stage, at_s in list(zip(profile.stages, starts_s, strict=True))[profile.load_stage :]:
        wanted = expected_replicas(stage.users or 0, rule)
        if wanted > had:
            steps.append(Event("load-applied", at_s, "client", step=(had, wanted)))
        had = wanted
    return tuple(steps) if steps and steps[0].at_s == first.at_s else (first, *steps)


def judge(
    profile: Profile,
    watched: Watched,
    records: Sequence[Record],
    *,
    known: Sequence[str],
    removed_s: float,
) -> Scaling:
    """Scale-out until `removed_s`, scale-in after it; `known` are the replicas that ran before."""
    wanted = wanted_replicas(profile, watched.rule) if watched.rule else None
    before = len(known)
    applied = load_steps(profile, watched.rule, before=before)
    waited_s = removed_s - applied[0].at_s
    observed = int(watched.last("replicas_running", before_s=removed_s) or 0)
    out = timeline.scale_out(
        watched.events, records, known=known, applied=applied, until_s=removed_s,
        wanted=max(1, (wanted if wanted is not None else before + 1) - before),
        visible=watched.stages, links=watched.links,
    )  # fmt: skip
    back = way_back(watched, removed_s=removed_s, before=before)
    after = watched.last("replicas_running")
    launched = len({e.subject for e in watched.events if e.stage == "nodeclaim-created" and e.at_s <= removed_s})
    replicas = Replicas(
        before, wanted, observed, None if after is None else int(after), _rule_in_words(profile, watched),
        launched if "nodeclaim-created" in watched.stages else None,
    )  # fmt: skip
    if capped := _cap_too_low(watched.rule, before, waited_s, watched):
        return Scaling(replicas, out, back, capped)
    if broken := _broken(out, removed_s, watched.under_load, profile) or _wrong_count(replicas, watched, waited_s):
        unseen = _unseen(watched.under_load, "when the load ended")
        why = unseen or _unasked(replicas, watched, out, records, profile)
    elif broken := _broken(back, watched.until_s, watched.now, profile):
        why = _unseen(watched.now, "at the end")
    else:
        why = ""
    return Scaling(replicas, out, back, None if why else broken, why)


def way_back(watched: Watched, *, removed_s: float, before: int) -> tuple[Chain, ...]:
    """Scale-in: a chain for each replica that ran when the load ended beyond the fewest."""
    observed = int(watched.last("replicas_running", before_s=removed_s) or 0)
    surplus = max(0, observed - (watched.rule.min_replicas if watched.rule else before))
    return timeline.scale_in(
        watched.events, removed_s=removed_s, wanted=surplus, visible=watched.stages, links=watched.links
    )


def judge_deployment(profile: Profile, watched: Watched, records: Sequence[Record], *, asks: bool) -> Scaling:
    """Did the first replica come, from before anything was deployed? The head's chain is judged first, all else needs it."""
    earliest_s = min((event.at_s for event in watched.events), default=0.0)
    applied = Event("load-applied", min(0.0, earliest_s), "client", detail="the watch began, or what it found was made")
    chains = timeline.deployment(
        watched.events, records, applied=applied, visible=watched.stages, asks=asks, links=watched.links
    )
    ran = int(watched.last("replicas_running") or 0)
    broken = _told_first(chains, replace(watched, now=_asked(watched.now, records)), profile)
    return Scaling(Replicas(0, 1, ran, ran, "the first replica of a deployment"), chains, (), broken)


def overall(void: Sequence[str], scaling: Scaling | None, objectives: Sequence[Objective]) -> Verdict:
    """A void run says nothing; a scaling failure outweighs a missed SLO, which it usually explains."""
    if void:
        return Verdict.VOID
    if scaling is not None and scaling.broken_link is not None:
        return Verdict.AUTOSCALING_FAILED
    return Verdict.PASS if all(objective.passed for objective in objectives) else Verdict.SLO_FAILED


def _asked(account: Account, records: Sequence[Record]) -> Account:
    """What became of the last question, where it was not answered; one that the watch's end cut off says nothing."""
    ended = [record for record in records if record.outcome is not Outcome.CANCELLED]
    if not ended or not ended[-1].failed:
        return account
    text = f"The client's question ended in {ended[-1].outcome.value}: {ended[-1].error}"
    return Account((*account.evidence, text), (*account.causes, Cause("first-token", text)))


def _told_first(chains: Sequence[Chain], watched: Watched, profile: Profile) -> BrokenLink | None:
    """A chain whose missing link has a definite cause says more than one that may only be slow."""
    sure = [
        chain for chain in chains if (link := chain.broken_at) and reasons.is_definite(link.name, chain, watched.now)
    ]
    return _broken(sure, watched.until_s, watched.now, profile) or _broken(
        chains, watched.until_s, watched.now, profile
    )


def _cap_too_low(rule: ScalingRule | None, before: int, waited_s: float, watched: Watched) -> BrokenLink | None:
    if rule is None or rule.max_replicas > before:
        return None
    return BrokenLink(
        "serve-target-raised",
        waited_s,
        f"max_replicas is {rule.max_replicas} and {before} ran already: Serve may not raise its target",
        watched.under_load.evidence,
    )


def _broken(chains: Sequence[Chain], until_s: float, account: Account, profile: Profile) -> BrokenLink | None:
    for chain in chains:
        late = next((stage for stage in chain.stages if _over_budget(stage, profile)), None)
        missing = chain.broken_at
        if missing is not None:
            waited_s = until_s - (chain.last_reached.at_s or 0.0)
            return BrokenLink(missing.name, waited_s, reasons.reason(missing.name, chain, account), account.evidence)
        if late is not None:
            budget_s = profile.scaling.stage_budget_s[late.name]
            text = f"{late.name} took {late.took_s:.1f} s for {chain.replica}, above its budget of {budget_s:g} s"
            return BrokenLink(late.name, late.took_s or 0.0, text, account.evidence)
    return None


def _over_budget(stage: StageTime, profile: Profile) -> bool:
    budget_s = profile.scaling.stage_budget_s.get(stage.name)
    return budget_s is not None and stage.took_s is not None and stage.took_s > budget_s


def _unseen(account: Account, when: str) -> str:
    """A link that nobody could have seen is not missing."""
    return (
        f"nobody could see the target {when}, so nothing can be said of its scaling: {account.blind}"
        if account.blind
        else ""
    )


def _unasked(
    replicas: Replicas, watched: Watched, out: Sequence[Chain], records: Sequence[Record], profile: Profile
) -> str:
    """A load that never exceeds what Serve aims at does not fail because Serve adds nothing."""
    rule, asks = watched.rule, replicas.expected is None or replicas.expected <= replicas.before
    raised = any(stage.name == "serve-target-raised" and stage.status == "reached" for c in out for stage in c.stages)
    failed = sum(record.failed for record in records) > profile.slo.errors * len(records)
    if rule is None or not asks or raised or failed:
        return ""
    enough = rule.target_ongoing_requests * max(1, replicas.before)
    busiest = concurrency.busiest(records, rule.look_back_period_s)
    if busiest > enough:
        return ""
    return (
        f"this load asks for no further replica, so there is nothing to verify: in its busiest {rule.look_back_period_s:g} s "
        f"on average {busiest:.1f} requests were in flight, and Serve adds one above {enough:g}"
    )


def _wrong_count(replicas: Replicas, watched: Watched, waited_s: float) -> BrokenLink | None:
    if replicas.expected is None or replicas.observed == replicas.expected:
        return None
    return BrokenLink(
        "serve-target-raised",
        waited_s,
        f"{replicas.observed} replicas ran when the load ended, not {replicas.expected} ({replicas.rule})",
        watched.under_load.evidence,
    )


def _rule_in_words(profile: Profile, watched: Watched) -> str:
    rule = watched.rule
    if rule is None:
        return "the autoscaling rule could not be read"
    if why := why_no_number(profile, rule):
        return f"{why}: more than before, at most {rule.max_replicas}"
    return f"clamp(ceil({profile.most_users} users / target {rule.target_ongoing_requests:g}), {rule.min_replicas}, {rule.max_replicas})"
