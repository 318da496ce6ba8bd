"""What the golden server's log says must have been measured. Shares no code with the client, and not the server's either."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

OUTCOME_OF_KIND = {
    "ok": "ok", "stale": "ok", "no_usage": "ok", "429": "429", "503": "503", "500": "other_5xx", "502": "other_5xx",
    "400": "other_4xx", "reset": "connect_error", "silent": "timeout", "no_finish": "truncated", "no_done": "truncated",
    "cut": "truncated", "stream_error": "stream_error",
}  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """One request as the server lived it; seconds on CLOCK_MONOTONIC."""

    number: int
    kind: str
    tokens: int
    received_s: float
    sent_s: list[float]

    @property
    def ttft_s(self) -> float:
        return self.sent_s[0] - self.received_s

    @property
    def gaps_s(self) -> list[float]:
        return [self.sent_s[i + 1] - self.sent_s[i] for i in range(len(self.sent_s) - 1)]


def read(log: Path) -> list[Truth]:
    """Every request that the server saw, by number."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    found = [Truth(r["number"], r["kind"], r["tokens"], r["received_s"], r["sent_s"]) for r in rows]
    return sorted(found, key=lambda truth: truth.number)


def outcomes(truths: list[Truth]) -> dict[str, int]:
    """How many of each outcome a correct client reports."""
    return dict(Counter(OUTCOME_OF_KIND[truth.kind] for truth in truths))


def percentile(values: list[float], percent: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
