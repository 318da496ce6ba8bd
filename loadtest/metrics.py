"""Every latency metric, declared once: name, unit, formula, what it needs. A record without a value gives none.

Only answers that ended well have latencies: a failure is counted among the outcomes, where it cannot improve a mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from loadtest.histogram import Distribution, distribution
from loadtest.record import Outcome, Record


@dataclass(frozen=True, slots=True)
class Metric:
    """One definition."""

    name: str
    title: str
    unit: str
    formula: str
    needs: str
    values: Callable[[Record], Iterable[float]]


def _since_scheduled(record: Record) -> Iterable[float]:
    return (record.token_s[0] - record.scheduled_s,) if record.token_s else ()


def _since_sent(record: Record) -> Iterable[float]:
    return (record.token_s[0] - record.sent_s,) if record.token_s and record.sent_s is not None else ()


def _gaps(record: Record) -> Iterable[float]:
    return (later - earlier for earlier, later in pairwise(record.token_s))


def _per_token(record: Record) -> Iterable[float]:
    tokens = record.completion_tokens or 0
    return ((record.token_s[-1] - record.token_s[0]) / (tokens - 1),) if record.token_s and tokens > 1 else ()


def _whole_scheduled(record: Record) -> Iterable[float]:
    return (record.ended_s - record.scheduled_s,)


def _whole_sent(record: Record) -> Iterable[float]:
    return (record.ended_s - record.sent_s,) if record.sent_s is not None else ()


TTFT = Metric(
    "ttft_s", "Time to first token", "s", "first token − scheduled", "one event with text", _since_scheduled
)  # fmt: skip
ITL = Metric("itl_s", "Inter-token latency", "s", "event with text − the one before", "two events with text", _gaps)
E2E = Metric("e2e_s", "Whole answer", "s", "end − scheduled", "an end", _whole_scheduled)
METRICS: tuple[Metric, ...] = (
    TTFT,
    Metric("ttft_sent_s", "TTFT from sent", "s", "first token − sent", "one event with text", _since_sent),
    ITL,
    Metric("tpot_s", "Time per output token", "s", "(last − first token) / (completion tokens − 1)",
           "usage with two tokens", _per_token),
    E2E,
    Metric("e2e_sent_s", "Whole answer from sent", "s", "end − sent", "an end", _whole_sent),
)  # fmt: skip


def measure(metric: Metric, records: Sequence[Record]) -> Distribution | None:
    """The metric over the records that ended well."""
    return distribution(value for record in records if record.outcome is Outcome.OK for value in metric.values(record))
