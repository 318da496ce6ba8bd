"""Where the chatbot can stand: the same verbs for this machine, the rehearsal and EKS.

A target is a module of this package that has `open_target(settings, tell, options) -> Target`. It is imported when it is
asked for, so that `local` needs nothing of what the others need.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from cluster.errors import Refused
from cluster.settings import Settings

Tell = Callable[[str], None]  # takes a step's name, for the person who waits


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may say on the command line of one deploy; a target refuses what it cannot do."""

    port: int | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the chatbot's, by group
    force_conflicts: bool = False  # take over fields that others manage in a cluster


@dataclass(frozen=True, slots=True)
class Status:
    """What runs where, and is it healthy."""

    deployed: bool  # something of ours stands there
    healthy: bool  # a chat request would be answered
    base_url: str | None  # None where nothing stands
    summary: str  # one sentence
    facts: Mapping[str, Any]  # JSON-able; what it holds is the target's business


class Target(Protocol):
    """A place that the chatbot runs in."""

    name: str

    def up(self) -> None:
        """Stand it up, and return when a real chat request was answered. Idempotent.

        Raises Refused before anything is touched, NotReady with the reason when it does not get there in time.
        """

    def endpoint(self) -> str:
        """The base URL of the HTTP face, without `/v1`. Raises NotReady where nothing stands."""

    def status(self) -> Status:
        """What runs, found out now; changes nothing."""

    def down(self) -> None:
        """Remove exactly what `up` made. Idempotent, and resumes where it was interrupted."""


def names() -> list[str]:
    """Every target there is."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def open_target(name: str, settings: Settings, tell: Tell, options: Options | None = None) -> Target:
    """The target of that name; nothing is touched yet. Raises Refused when there is none, or it cannot do an option."""
    if name not in names():
        raise Refused(f"There is no target {name!r}: use {' or '.join(names())}.")
    module = importlib.import_module(f"{__name__}.{name}")
    return cast(Target, module.open_target(settings, tell, options or Options()))
