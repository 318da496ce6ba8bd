"""A replica's own log of its start: when its model was loaded, and which stage failed or takes too long.

The chatbot writes one line of JSON a stage to the worker's standard error (`serving.startup`), which Ray keeps; the
dashboard gives it out by actor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loadtest.observers.dashboard import Dashboard

LOADED = "runner"  # the stage that holds artifacts, weights and graphs
_PATH = "/api/v0/logs/file"


@dataclass(frozen=True, slots=True)
class Startup:
    """What one replica has written so far."""

    loaded_unix_s: float | None = None
    took_s: float | None = None  # to load
    failed: str | None = None  # the stage that raised
    over_budget: str | None = None  # the stage that ran when the start became too long
    passed: tuple[str, ...] = ()


def read(dashboard: Dashboard, actor_id: str) -> Startup:
    """Of the replica that is this actor. Raises ObserverError where the log cannot be had."""
    body = dashboard.read(_PATH, {"actor_id": actor_id, "suffix": "err", "lines": "400"})
    return parse(body.decode("utf-8", "replace").splitlines())


def parse(lines: Iterable[str]) -> Startup:
    """Lines of JSON among others."""
    loaded_s = took_s = failed = over = None
    passed: list[str] = []
    for row in _rows(lines):
        if row.get("message") == "start-up stage passed":
            passed.append(str(row.get("stage")))
        if row.get("message") == "start-up stage passed" and row.get("stage") == LOADED:
            loaded_s, took_s = _unix_s(row["time"]), float(row.get("took_s") or 0)
        elif row.get("message") == "start-up stage failed":
            failed = failed or str(row.get("stage"))  # the innermost raises first
        elif row.get("message") == "start-up exceeds its budget":
            over = str(row.get("stage"))
    return Startup(loaded_s, took_s, failed, over, tuple(passed))


def _rows(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        if "start-up" in line and (start := line.find("{")) >= 0:
            try:
                row = json.loads(line[start:])
            except ValueError:
                continue  # cut off at the beginning of what was asked for
            if isinstance(row, dict) and "time" in row:
                yield row


def _unix_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
