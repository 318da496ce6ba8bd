"""Where the load goes and who watches: from flags, the environment, and what a deployed local target wrote down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.client.connection import Endpoint
from loadtest.errors import UsageError
from loadtest.observers import Observer
from loadtest.observers.serve import ServeObserver
from loadtest.settings import DEFAULT_URL, Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Target:
    """One chatbot."""

    name: str
    endpoint: Endpoint
    observers: tuple[Observer, ...]

    def described(self) -> dict[str, Any]:
        """What a report says of it; never a key or a token."""
        return {
            "name": self.name,
            "base_url": str(self.endpoint),
            "class": "loopback" if self.endpoint.host in LOOPBACK else "remote",
        }


def resolve(
    name: str,
    settings: Settings,
    *,
    base_url: str | None,
    dashboard_url: str | None,
    token_file: Path | None,
) -> Target:
    """Flags over environment over the state of `name`. Raises UsageError."""
    state = read_state(settings.state_file(name))
    url = base_url or settings.base_url or state.get("base_url") or (DEFAULT_URL if name == "local" else None)
    if url is None:
        raise UsageError(f"target {name} has no known address: give --base-url")
    dashboard = dashboard_url or settings.dashboard_url or (state.get("dashboard_url") if base_url is None else None)
    token = _token(token_file) or settings.dashboard_token or _state_token(state)
    observers = (ServeObserver(dashboard, token=token),) if dashboard else ()
    return Target(name, Endpoint.parse(url, api_key=settings.api_key), observers)


def read_state(path: Path) -> Mapping[str, Any]:
    """What the deployed target wrote down; empty when nothing is deployed. Raises UsageError when it is not JSON."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return document if isinstance(document, dict) else {}


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise UsageError(f"cannot read the token in {path}: {error.strerror}") from error


def _state_token(state: Mapping[str, Any]) -> str | None:
    file = state.get("dashboard_token_file")
    return _token(Path(file)) if isinstance(file, str) else None
