"""What the local target has written down: enough to find it again, to talk to it, and to remove it.

`loadtest` reads the three addresses; the file's place (`state.json`) and their names are a promise.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError

SCHEMA = "chatbot.local-state/v1"


@dataclass(frozen=True, slots=True)
class State:
    """One deployment on this machine."""

    base_url: str
    dashboard_url: str
    dashboard_token_file: str
    run: str  # when it was started; names its logs
    launch: str  # digest of what cannot change while it runs: code and environment
    config: str  # digest of the Serve config that a chat request was answered under; empty until then
    leader_pid: int | None = None  # of the session that Ray runs in; None until it is started
    leader_started_ticks: int = 0
    metrics_url: str | None = None  # Ray's exporter, for Prometheus; None in what an older version has written


def digest(value: Any) -> str:
    """Of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code_digest(package: Path) -> str:
    """Of a package's files: a running replica keeps the code that it was started with."""
    found = hashlib.sha256()
    for file in sorted(p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        found.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def read_state(file: Path) -> State | None:
    """What was written; None when there is nothing, or nothing that can be understood."""
    try:
        content: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if content.get("schema") != SCHEMA:
            return None
        return State(**{key: value for key, value in content.items() if key != "schema"})
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return None


def write_state(file: Path, state: State) -> None:
    """Replace the file as a whole. Raises ClusterError when it cannot be written."""
    fresh = file.with_suffix(".new")
    try:
        fresh.write_text(json.dumps({"schema": SCHEMA, **asdict(state)}, indent=2) + "\n", encoding="utf-8")
        os.replace(fresh, file)
    except OSError as error:
        raise ClusterError(f"{file} cannot be written ({error.strerror}): make room, or set XDG_CACHE_HOME.") from error
