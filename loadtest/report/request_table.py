"""One CSV row per request, for whoever wants to compute for himself."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from loadtest import metrics, slo
from loadtest.record import Outcome, Record
from loadtest.spec import Profile

COLUMNS = (
    "index", "stage", "outcome", "user", "turn", "scheduled_s", "dispatched_s", "sent_s", "first_token_s", "ended_s",
    "ttft_s", "ttft_sent_s", "tpot_s", "e2e_s", "itl_max_s", "prompt_tokens", "completion_tokens", "events",
    "finish_reason", "status", "attempts", "stale_connections", "pooled", "good", "replica", "request_id", "error",
)  # fmt: skip
_OF = {metric.name: metric for metric in metrics.METRICS}


def write(file: TextIO, profile: Profile, records: Iterable[Record]) -> None:
    """Header and rows; an empty cell is "no value", which is not zero."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        row = _row(profile, record)
        writer.writerow([_cell(row[name]) for name in COLUMNS])


def _row(profile: Profile, record: Record) -> dict[str, object]:
    ended_well = record.outcome is Outcome.OK
    row = record.to_wire() | {
        "stage": profile.stages[record.stage].name,
        "first_token_s": record.first_token_s,
        "events": len(record.token_s),
        "good": not slo.missed(record, profile.slo) if record.outcome is not Outcome.CANCELLED else None,
        "itl_max_s": max(_OF["itl_s"].values(record), default=None) if ended_well else None,
    }
    for name in ("ttft_s", "ttft_sent_s", "tpot_s", "e2e_s"):
        row[name] = next(iter(_OF[name].values(record)), None) if ended_well else None
    return row


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value).lower() if isinstance(value, bool) else value
