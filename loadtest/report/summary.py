"""Records -> the figures of a report: per stage and in total. Pure; everything is plain values, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from loadtest import metrics, slo
from loadtest.record import Outcome, Record
from loadtest.spec import Profile


def totals(profile: Profile, records: Sequence[Record]) -> dict[str, Any]:
    """All stages but warm-ups, together."""
    measured_s = sum(stage.duration_s for stage in profile.stages if not stage.warmup)
    return _figures(profile, measured(profile, records), measured_s)


def by_stage(profile: Profile, records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row per stage."""
    rows = []
    for number, (stage, start_s) in enumerate(zip(profile.stages, profile.stage_starts_s(), strict=True)):
        mine = [record for record in records if record.stage == number]
        rows.append(
            {"name": stage.name, "start_s": start_s, "duration_s": stage.duration_s, "warmup": stage.warmup}
            | {
                "users": stage.users,
                "rate": stage.rate.model_dump(exclude={"file", "offsets_s"}) if stage.rate else None,
            }
            | _figures(profile, mine, stage.duration_s)
        )
    return rows


def measured(profile: Profile, records: Sequence[Record]) -> list[Record]:
    """The records of stages that are not warm-ups."""
    return [record for record in records if not profile.stages[record.stage].warmup]


def knee(profile: Profile, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The highest rate at which the service still kept its promises, where stages are rising rates."""
    if not profile.find_knee:
        return None
    kept: dict[str, Any] | None = None
    for row in rows:
        if row["warmup"]:
            continue
        good = row["goodput"]["share"]
        if good is None or good < profile.slo.goodput:
            said = (
                f"it keeps up to {kept['offered_per_s']:.2f}/s" if kept else "it does not keep up with the first stage"
            )
            why = f"at {row['offered_per_s']:.2f}/s ({row['name']}) goodput is {0 if good is None else good:.0%}"
            return {"found": True, "last_good_per_s": kept and kept["offered_per_s"], "first_bad_per_s": row["offered_per_s"],
                    "sentence": f"{said}; {why}"}  # fmt: skip
        kept = row
    said = f"no knee up to {kept['offered_per_s']:.2f}/s: every stage kept the SLO" if kept else "nothing was measured"
    return {
        "found": False,
        "last_good_per_s": kept and kept["offered_per_s"],
        "first_bad_per_s": None,
        "sentence": said,
    }


def _figures(profile: Profile, records: Sequence[Record], duration_s: float) -> dict[str, Any]:
    sent = [record for record in records if record.sent_s is not None]
    good = [record for record in records if record.outcome is Outcome.OK]
    return {
        "started": len(records),
        "offered_per_s": len(records) / duration_s,
        "achieved_per_s": len(sent) / duration_s,
        "completed_per_s": len(good) / duration_s,
        "outcomes": outcomes(records),
        "stale_connections": sum(record.stale_connections for record in records),
        "latency": {m.name: _distribution(m, records) for m in metrics.METRICS},
        "tokens": _tokens(good, duration_s),
        "goodput": _goodput(profile, records, duration_s),
    }


def outcomes(records: Sequence[Record]) -> dict[str, int]:
    """Every outcome with its count, also those that are zero."""
    counts = Counter(record.outcome for record in records)
    return {outcome.value: counts[outcome] for outcome in Outcome}


def _distribution(metric: metrics.Metric, records: Sequence[Record]) -> dict[str, Any] | None:
    found = metrics.measure(metric, records)
    return asdict(found) if found is not None else None


def _tokens(good: Sequence[Record], duration_s: float) -> dict[str, Any]:
    completion = sum(record.completion_tokens or 0 for record in good)
    streaming_s = sum(record.token_s[-1] - record.token_s[0] for record in good if record.token_s)
    return {
        "prompt": sum(record.prompt_tokens or 0 for record in good),
        "completion": completion,
        "events": sum(len(record.token_s) for record in good),
        "counts_disagree": sum(record.counts_disagree for record in good),
        "completion_per_s": completion / duration_s,
        "per_stream_per_s": completion / streaming_s if streaming_s else None,
        "finish_reasons": dict(Counter(record.finish_reason or "none" for record in good)),
    }


def _goodput(profile: Profile, records: Sequence[Record], duration_s: float) -> dict[str, Any]:
    share = slo.goodput(records, profile.slo)
    reasons = Counter(name for record in slo.judged(records) for name in slo.missed(record, profile.slo))
    good = round((share or 0) * len(slo.judged(records)))
    return {"share": share, "per_s": good / duration_s, "missed": dict(reasons)}
