"""Following a collection through everything that ends a watch: three generators, each handling one kind of end.

`follow` lists and starts over when the server has forgotten our version (410); `_resumed` reconnects where the last
connection left off, slower each time nothing came; `_connection` turns one connection's lines into changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.objects import dig, mapping, text

CONNECTION_S = 10  # each connection is ended after this long, so that whoever follows can look at the time
_GONE = 410


class Gone(Exception):
    """The server no longer knows the version that we would go on from."""


class Interrupted(Exception):
    """A connection ended before its time."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A collection as it was at `version`."""

    items: list[Mapping[str, Any]]
    version: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch: `type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: Mapping[str, Any]

    @property
    def version(self) -> str:
        """Where a watch goes on after this event."""
        return text(dig(self.object, "metadata", "resourceVersion"))


class Source(Protocol):
    """A collection that can be listed and watched."""

    def listing(self) -> Listing:
        """All of it now."""

    def connection(self, version: str) -> Iterator[Event]:
        """Its events after `version`. Raises Gone or Interrupted."""


def follow(source: Source, back_off: Callable[[int], None]) -> Iterator[list[Mapping[str, Any]]]:
    """The whole collection, again after each change and at the end of each connection; it never ends by itself.

    `back_off(attempt)` waits before the next connection after one that failed; attempts count from 0.
    """
    while True:
        listing = source.listing()
        known = {_uid(item): item for item in listing.items}
        yield list(known.values())
        try:
            for event in _resumed(source, listing.version, back_off):
                if event is not None:
                    _note(known, event)
                yield list(known.values())
        except Gone:
            continue


def _resumed(source: Source, version: str, back_off: Callable[[int], None]) -> Iterator[Event | None]:
    """Changes over any number of connections, None at the end of each. Raises Gone."""
    failures = 0
    while True:
        try:
            for event in _connection(source.connection(version)):
                version, failures = event.version or version, 0
                if event.type != "BOOKMARK":
                    yield event
        except Interrupted:
            back_off(failures)
            failures += 1
        yield None


def _connection(events: Iterator[Event]) -> Iterator[Event]:
    """One connection's changes and bookmarks. Raises Gone or Interrupted where the server says so in its stream."""
    for event in events:
        if event.type == "ERROR":
            if event.object.get("code") == _GONE:
                raise Gone
            raise Interrupted(text(event.object.get("message")))
        yield event


def _note(known: dict[str, Mapping[str, Any]], event: Event) -> None:
    if event.type == "DELETED":
        known.pop(_uid(event.object), None)
    else:
        known[_uid(event.object)] = event.object


def _uid(item: Mapping[str, Any]) -> str:
    return text(mapping(item.get("metadata")).get("uid"))
