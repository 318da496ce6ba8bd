"""A run -> the one JSON document, `chatbot.verdict/v1`, from which page, summary and comparison are made. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from loadtest import honesty, metrics, slo
from loadtest.client.answer import UNAUTHORIZED
from loadtest.record import Outcome, Record
from loadtest.report import cost, prediction, series, summary
from loadtest.run_result import Run
from loadtest.spec import Profile
from loadtest.verdict import Scaling, Verdict, judge, judge_deployment, overall

SCHEMA = "chatbot.verdict/v1"


def build(run: Run, *, verify: bool, target: Mapping[str, Any], versions: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is known of the run, and the verdict."""
    profile, records = run.profile, run.records
    measured = summary.measured(profile, records)
    scaling = _scaling(run) if verify and run.watched is not None else None
    void = (*void_reasons(run), *([scaling.inconclusive] if scaling is not None and scaling.inconclusive else ()))
    objectives = () if run.deployment else slo.objectives(measured, profile.slo)  # no load, no promise
    verdict = overall(void, scaling, objectives)
    samples = run.watched.samples if run.watched is not None else ()
    broken = scaling.broken_link if scaling is not None else None
    return {
        "schema": SCHEMA,
        "mode": "watch" if run.deployment else "verify" if verify else "run",
        "verdict": verdict.value,
        "exit_code": verdict.exit_code,
        "sentence": _sentence(run, verdict, void, scaling, objectives),
        "void_reasons": list(void),
        "partial": run.interrupted_s is not None,
        "interrupted_s": run.interrupted_s,
        "broken_link": _broken(asdict(broken)) if broken is not None else None,
        "replicas": asdict(scaling.replicas) if scaling is not None else None,
        "scale_out": prediction.chains(scaling.scale_out if scaling is not None else (), run.rehearsal),
        "scale_in": prediction.chains(scaling.scale_in if scaling is not None else (), run.rehearsal),
        "rehearsal": prediction.rehearsed(run.rehearsal, profile) if run.rehearsal is not None else None,
        "recovery_s": _recovery_s(run),
        "traffic": _traffic(run, measured, void),
        "slo": [asdict(objective) for objective in objectives],
        "slo_limits": profile.slo.model_dump(),
        "slo_violating_s": len(slo.violating_seconds(measured, profile.slo)),
        "error_budget_burn": slo.budget_burn(measured, profile.slo),
        "cost": cost.estimate(
            profile.cost, samples, run.watched.machines if run.watched is not None else (), loaded_s=run.removed_s, until_s=run.ended_s,
            output_tokens=sum(record.completion_tokens or 0 for record in records),
            loaded_output_tokens=summary.tokens_in(records, summary.Span(((0.0, run.removed_s),))),
        ),
        "observers": _observers(run),
        "seed": profile.seed,
        "profile": profile.model_dump(mode="json"),
        "model": run.model,
        "fingerprints": sorted({record.fingerprint for record in records if record.fingerprint}),
        "load": _load_in_words(profile),
        "target": dict(target),
        "versions": dict(versions),
        "started_at": datetime.fromtimestamp(run.started_unix_s, timezone.utc).isoformat(timespec="milliseconds"),
        "removed_s": run.removed_s,
        "ended_s": run.ended_s,
        "definitions": {m.name: {"title": m.title, "unit": m.unit, "formula": m.formula, "needs": m.needs}
                        for m in metrics.METRICS},
        "series": series.build(profile, records, samples, measured=measured, until_s=run.ended_s),
    }  # fmt: skip


def void_reasons(run: Run) -> tuple[str, ...]:
    """Why nothing may be concluded; empty when something may."""
    reasons = list(run.troubles)
    if run.interrupted_s is not None:
        reasons.append(f"interrupted {run.interrupted_s:.1f} s after the start: the report is partial")
    if run.deployment:
        return tuple(reasons)
    if not run.records:
        reasons.append("no request was due")
    elif all(record.outcome is Outcome.CONNECT_ERROR for record in run.records):
        reasons.append(f"target absent: no connection in {len(run.records)} requests ({run.records[0].error})")
    elif all(record.status == UNAUTHORIZED for record in run.records):
        reasons.append(f"the chatbot refused all {len(run.records)} requests: {run.records[0].error}")
    return (*reasons, *honesty.void_reasons(run.profile.client_limits, run.records, run.pulses))


def _scaling(run: Run) -> Scaling | None:
    if run.watched is None:
        return None
    if run.deployment:
        return judge_deployment(run.profile, run.watched, run.records, asks=run.asks)
    return judge(run.profile, run.watched, run.records, known=run.known_replicas, removed_s=run.removed_s)


def _traffic(run: Run, measured: Sequence[Record], void: Sequence[str]) -> dict[str, Any]:
    rows = summary.by_stage(run.profile, run.records, removed_s=run.removed_s)
    return {
        "loop": run.profile.loop,
        "process": run.profile.process if run.profile.loop == "open" else None,
        "honesty": _honesty(run, measured),
        "total": summary.totals(run.profile, run.records, removed_s=run.removed_s),
        "stages": rows,
        "knee": summary.knee(run.profile, rows) if not void else None,  # a saturated client has no say about the server
        "errors": _errors(run.records),
        "by_replica": _by_replica(run.records),
    }


def _load_in_words(profile: Profile) -> str:
    if profile.loop == "closed":
        return " → ".join(f"{stage.users} users for {round(stage.duration_s, 1):g} s" for stage in profile.stages)
    arrivals = "Poisson" if profile.process == "poisson" else "even"
    return f"{arrivals} arrivals for {round(profile.duration_s, 1):g} s in {len(profile.stages)} stages"


def _honesty(run: Run, measured: Sequence[Record]) -> dict[str, Any]:
    lag = honesty.schedule_lag(run.records)
    return {
        "schedule_lag_s": asdict(lag) if lag is not None else None,
        "processes": [
            {"name": p.process, "loop_lag_s": asdict(p.lag) if p.lag else None, "cpu_share_p95": p.cpu_share_p95}
            for p in run.pulses
        ],
        "limits": run.profile.client_limits.model_dump(),
        "in_flight_cap_hits": sum(record.outcome is Outcome.NOT_SENT for record in run.records),
        "in_flight_at_end": run.in_flight_at_end,
        "warmup_excluded": len(run.records) - len(measured),
        "prompts_pooled_share": sum(r.pooled for r in run.records) / len(run.records) if run.records else None,
    }


def _errors(records: Sequence[Record]) -> list[dict[str, Any]]:
    """What failed, by outcome and message, the most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for record in records:
        if record.failed:
            key = (record.outcome.value, record.error or "")
            counts[key] = counts.get(key, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])[:20]
    return [{"outcome": outcome, "message": message, "count": count} for (outcome, message), count in ranked]


def _by_replica(records: Sequence[Record]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in records:
        if record.outcome is Outcome.OK and record.replica is not None:
            counts[record.replica] = counts.get(record.replica, 0) + 1
    return counts


def _recovery_s(run: Run) -> float | None:
    """From the first second that broke the SLO to the end of the last one; None when none did."""
    seconds = slo.violating_seconds(summary.measured(run.profile, run.records), run.profile.slo)
    return float(seconds[-1] + 1 - seconds[0]) if seconds else None


def _observers(run: Run) -> dict[str, Any] | None:
    if run.watched is None:
        return None
    return {
        "stages": sorted(run.watched.stages),
        "interval_s": run.watched.interval_s,
        "rule": asdict(run.watched.rule) if run.watched.rule is not None else None,
        "events": [asdict(event) for event in run.watched.events],
        "links": sorted(run.watched.links),
        "failed_looks": run.watched.failed_looks,
    }


def _broken(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "evidence": list(fields["evidence"])}


def _sentence(
    run: Run, verdict: Verdict, void: Sequence[str], scaling: Scaling | None, objectives: Sequence[slo.Objective]
) -> str:
    if verdict is Verdict.VOID:
        return f"The run is void: {void[0]}."
    if verdict is Verdict.AUTOSCALING_FAILED and scaling is not None and scaling.broken_link is not None:
        link = scaling.broken_link
        what = "The deployment stands still" if run.deployment else "Autoscaling failed"
        return f"{what} at {link.stage} after {link.waited_s:.1f} s: {link.reason}."
    if verdict is Verdict.SLO_FAILED:
        missed = [f"{o.name} is {'unknown' if o.observed is None else f'{o.observed:.1%}'}, promised {o.limit:.1%}"
                  for o in objectives if not o.passed]  # fmt: skip
        scaled = (
            f"It scaled from {scaling.replicas.before} to {scaling.replicas.observed} replicas, but " if scaling else ""
        )
        return f"{scaled}{'a promise was missed' if scaled else 'A promise was missed'}: {'; '.join(missed)}."
    if run.deployment:
        return f"The first replica {'answered' if run.asks else 'runs'} {run.removed_s:.1f} s after the watch began."
    if scaling is not None:
        return (
            f"It scaled from {scaling.replicas.before} to {scaling.replicas.observed} replicas under load "
            f"and back to {scaling.replicas.after}, and kept its promises."
        )
    return "The service kept its promises under this load."
