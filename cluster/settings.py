"""What this package takes from the environment; the only reader of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CACHE_FOLDER = "trainium-chatbot"


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once by a command and handed down."""

    cache_dir: Path  # our one folder under $XDG_CACHE_HOME
    environment: Mapping[str, str]  # fills the manifests' placeholders; what child processes inherit
    api_key: str | None = None  # CHATBOT_API_KEY: for the requests that this package sends itself


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that this process was started with, or those of `environment`."""
    values = dict(os.environ if environment is None else environment)
    base = Path(values.get("XDG_CACHE_HOME") or Path(values.get("HOME") or Path.home()) / ".cache")
    api_key = values.pop("CHATBOT_API_KEY", None)  # not for children: they have no need of it
    return Settings(cache_dir=base / CACHE_FOLDER, environment=values, api_key=api_key)
