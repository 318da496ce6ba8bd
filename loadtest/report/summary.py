"""Records -> the figures of a report: per stage and in total. Pure; everything is plain values, ready for JSON.

Latencies and outcomes are those of the requests that were due in a stage, whenever they ended. Throughput is what came while
the stage lasted, whenever it was asked for: answers by when they ended, tokens by when they arrived.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtest import metrics, slo
from loadtest.record import Outcome, Record
from loadtest.spec import Profile


@dataclass(frozen=True, slots=True)
class Span:
    """Stretches of the run over which something is counted, each [from, to)."""

    stretches: tuple[tuple[float, float], ...]

    @property
    def length_s(self) -> float:
        """Of all of them."""
        return sum(end_s - start_s for start_s, end_s in self.stretches)

    def holds(self, at_s: float) -> bool:
        """Whether an instant lies in one of them."""
        return any(start_s <= at_s < end_s for start_s, end_s in self.stretches)

    def per_s(self, count: float) -> float:
        """A rate over all of it; 0 where the run was interrupted before it began."""
        return count / self.length_s if self.length_s else 0.0


def totals(profile: Profile, records: Sequence[Record], *, removed_s: float) -> dict[str, Any]:
    """All stages but warm-ups, together."""
    spans = stage_spans(profile, removed_s=removed_s)
    kept = [span.stretches[0] for stage, span in zip(profile.stages, spans, strict=True) if not stage.warmup]
    return _figures(profile, measured(profile, records), records, Span(tuple(kept)))


def by_stage(profile: Profile, records: Sequence[Record], *, removed_s: float) -> list[dict[str, Any]]:
    """One row per stage."""
    rows = []
    for number, (stage, span) in enumerate(zip(profile.stages, stage_spans(profile, removed_s=removed_s), strict=True)):
        mine = [record for record in records if record.stage == number]
        rows.append(
            {
                "name": stage.name,
                "start_s": span.stretches[0][0],
                "duration_s": stage.duration_s,
                "warmup": stage.warmup,
            }
            | {
                "users": stage.users,
                "rate": stage.rate.model_dump(exclude={"file", "offsets_s"}) if stage.rate else None,
            }
            | _figures(profile, mine, records, span)
        )
    return rows


def stage_spans(profile: Profile, *, removed_s: float) -> tuple[Span, ...]:
    """When each stage was; an interrupted one ends with the load."""
    starts_s = profile.stage_starts_s()
    return tuple(
        Span(((start_s, max(start_s, min(start_s + stage.duration_s, removed_s))),))
        for stage, start_s in zip(profile.stages, starts_s, strict=True)
    )


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
            said = f"the SLO holds up to {_rates(kept)}" if kept else "the SLO does not hold in the first stage"
            why = f"at {_rates(row)} in stage {row['name']} goodput is {0 if good is None else good:.0%}"
            return {"found": True, "last_good_per_s": kept and kept["offered_per_s"], "first_bad_per_s": row["offered_per_s"],
                    "sentence": f"{said}; {why}"}  # fmt: skip
        kept = row
    said = f"no knee up to {_rates(kept)}: every stage kept the SLO" if kept else "nothing was measured"
    return {
        "found": False,
        "last_good_per_s": kept and kept["offered_per_s"],
        "first_bad_per_s": None,
        "sentence": said,
    }


def _rates(row: dict[str, Any]) -> str:
    """What was asked, and what came meanwhile: a service that falls behind shows in their distance."""
    return f"{row['offered_per_s']:.2f}/s offered ({row['completed_per_s']:.2f}/s answered)"


def _figures(profile: Profile, due: Sequence[Record], everyone: Sequence[Record], span: Span) -> dict[str, Any]:
    """`due`: the requests that were due in `span`; `everyone`: all of the run, some of which end in it."""
    sent = [record for record in due if record.sent_s is not None]
    ended = [record for record in everyone if record.outcome is Outcome.OK and span.holds(record.ended_s)]
    return {
        "started": len(due),
        "offered_per_s": span.per_s(len(due)),
        "achieved_per_s": span.per_s(len(sent)),
        "completed_per_s": span.per_s(len(ended)),
        "outcomes": outcomes(due),
        "stale_connections": sum(record.stale_connections for record in due),
        "latency": {m.name: _distribution(m, due) for m in metrics.METRICS},
        "tokens": _tokens(due) | {"completion_per_s": span.per_s(tokens_in(everyone, span))},
        "goodput": _goodput(profile, due)
        | {"per_s": span.per_s(sum(not slo.missed(record, profile.slo) for record in ended))},
    }


def outcomes(records: Sequence[Record]) -> dict[str, int]:
    """Every outcome with its count, also those that are zero."""
    counts = Counter(record.outcome for record in records)
    return {outcome.value: counts[outcome] for outcome in Outcome}


def _distribution(metric: metrics.Metric, records: Sequence[Record]) -> dict[str, Any] | None:
    found = metrics.measure(metric, records)
    return asdict(found) if found is not None else None


def tokens_in(records: Sequence[Record], span: Span) -> float:
    """Completion tokens that arrived in `span`, of answers that ended well at any time.

    Usage says how many tokens an answer had, and its events when: each event stands for an equal part of them.
    """
    good = [record for record in records if record.outcome is Outcome.OK and record.token_s]
    return sum(
        (record.completion_tokens or len(record.token_s)) * sum(map(span.holds, record.token_s)) / len(record.token_s)
        for record in good
    )


def _tokens(due: Sequence[Record]) -> dict[str, Any]:
    good = [record for record in due if record.outcome is Outcome.OK]
    completion = sum(record.completion_tokens or 0 for record in good)
    streaming_s = sum(record.token_s[-1] - record.token_s[0] for record in good if record.token_s)
    return {
        "prompt": sum(record.prompt_tokens or 0 for record in good),
        "completion": completion,
        "events": sum(len(record.token_s) for record in good),
        "counts_disagree": sum(record.counts_disagree for record in good),
        "per_stream_per_s": completion / streaming_s if streaming_s else None,
        "finish_reasons": dict(Counter(record.finish_reason or "none" for record in good)),
    }


def _goodput(profile: Profile, due: Sequence[Record]) -> dict[str, Any]:
    reasons = Counter(name for record in slo.judged(due) for name in slo.missed(record, profile.slo))
    return {"share": slo.goodput(due, profile.slo), "missed": dict(reasons)}
