"""The last outcome of each fault, and of the runs with nothing broken: a committed file that the documentation is made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.faults.outcome import Outcome

SCHEMA = "chatbot.faults/v1"
COMMITTED = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Results:
    """Which outcomes were seen, when, and with which versions."""

    date: str  # of the last run, ISO
    versions: Mapping[str, str]
    outcomes: tuple[Outcome, ...]

    def document(self) -> dict[str, Any]:
        """The JSON output."""
        return {
            "schema": SCHEMA,
            "date": self.date,
            "versions": dict(self.versions),
            "wrong": [outcome.name for outcome in self.outcomes if not outcome.right],
            "outcomes": [outcome.document() for outcome in self.outcomes],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Results:
        """The reverse."""
        outcomes = tuple(Outcome.from_document(value) for value in document["outcomes"])
        return cls(document["date"], document["versions"], outcomes)

    def joined(self, newer: Results) -> Results:
        """With the outcomes of `newer` in place of those of the same fault; controls of both runs stay."""
        names = {outcome.name for outcome in newer.outcomes}
        kept = [outcome for outcome in self.outcomes if outcome.name not in names]
        return Results(newer.date, newer.versions, (*kept, *newer.outcomes))


def read(path: Path = COMMITTED) -> Results:
    """What was committed; no outcomes where nothing was."""
    if not path.exists():
        return Results("", {}, ())
    return Results.from_document(json.loads(path.read_text("utf-8")))


def write(results: Results, path: Path = COMMITTED) -> None:
    """One file, readable and stable."""
    path.write_text(json.dumps(results.document(), indent=2, ensure_ascii=False) + "\n", "utf-8")


def by_name(outcomes: Iterable[Outcome]) -> dict[str, Outcome]:
    """The last outcome of each."""
    return {outcome.name: outcome for outcome in outcomes}
