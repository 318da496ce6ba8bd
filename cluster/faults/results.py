"""The last outcome of each fault, and of the runs with nothing broken: a committed file that the documentation is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.faults.outcome import CONTROL, Outcome

SCHEMA = "chatbot.faults/v3"
COMMITTED = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Series:
    """Outcomes of one day with one set of versions."""

    date: str  # ISO
    versions: Mapping[str, str]
    outcomes: tuple[Outcome, ...]

    def document(self) -> dict[str, Any]:
        """The JSON output of one series."""
        return {
            "date": self.date,
            "versions": dict(self.versions),
            "wrong": [outcome.name for outcome in self.outcomes if not outcome.right],
            "outcomes": [outcome.document() for outcome in self.outcomes],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Series:
        """The reverse."""
        outcomes = tuple(Outcome.from_document(value) for value in document["outcomes"])
        return cls(document["date"], document["versions"], outcomes)

    def without(self, names: frozenset[str]) -> Series:
        """Less the faults of these names."""
        return replace(self, outcomes=tuple(outcome for outcome in self.outcomes if outcome.name not in names))


@dataclass(frozen=True, slots=True)
class Results:
    """Which outcomes were seen, in the order of their series: a fault has one, the last."""

    series: tuple[Series, ...] = ()

    @property
    def faults(self) -> dict[str, Outcome]:
        """By name."""
        return {outcome.name: outcome for outcome in self._outcomes() if outcome.name != CONTROL}

    @property
    def controls(self) -> tuple[Outcome, ...]:
        """Of all runs with nothing broken."""
        return tuple(outcome for outcome in self._outcomes() if outcome.name == CONTROL)

    def document(self) -> dict[str, Any]:
        """As it is committed."""
        return {"schema": SCHEMA, "series": [series.document() for series in self.series]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Results:
        """The reverse."""
        return cls(tuple(Series.from_document(value) for value in document["series"]))

    def joined(self, newer: Series) -> Results:
        """With the outcomes of `newer` in place of those of the same fault, or of the controls; the rest keep their dates."""
        again = frozenset(outcome.name for outcome in newer.outcomes)
        kept = (series.without(again) for series in self.series)
        return Results(tuple(series for series in (*kept, newer) if series.outcomes))

    def _outcomes(self) -> list[Outcome]:
        return [outcome for series in self.series for outcome in series.outcomes]


def read(path: Path = COMMITTED) -> Results:
    """What was committed; no outcomes where nothing was."""
    return Results.from_document(json.loads(path.read_text("utf-8"))) if path.exists() else Results()


def write(results: Results, path: Path = COMMITTED) -> None:
    """One file, readable and stable, and never half of it."""
    half = path.with_suffix(".new")
    half.write_text(json.dumps(results.document(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    half.replace(path)
