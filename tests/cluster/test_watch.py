from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pytest

from cluster.watch import Event, Gone, Interrupted, Listing, follow


def thing(uid: str, version: int, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}, "spec": spec}


class ScriptedSource:
    """Listings and connections in order; what a connection raises stands in its list."""

    def __init__(self, listings: list[Listing], connections: list[list[Event | Exception]]) -> None:
        self.listings = iter(listings)
        self.connections = iter(connections)
        self.started_at: list[str] = []

    def listing(self) -> Listing:
        return next(self.listings)

    def connection(self, version: str) -> Iterator[Event]:
        self.started_at.append(version)
        for step in next(self.connections):
            if isinstance(step, Exception):
                raise step
            yield step


def seen(source: ScriptedSource, count: int, waits: list[int] | None = None) -> list[list[Mapping[str, Any]]]:
    waited = [] if waits is None else waits
    return list(islice(follow(source, waited.append), count))


def test_every_change_yields_the_whole_collection() -> None:
    source = ScriptedSource(
        [Listing([thing("a", 1)], "1")],
        [[Event("ADDED", thing("b", 2)), Event("MODIFIED", thing("a", 3, x=1)), Event("DELETED", thing("b", 4))]],
    )
    states = seen(source, 4)
    assert [[item["metadata"]["uid"] for item in state] for state in states] == [["a"], ["a", "b"], ["a", "b"], ["a"]]
    assert states[-1][0]["spec"] == {"x": 1}


def test_a_connection_that_ends_is_resumed_where_it_was_and_gives_a_chance_to_look_at_the_clock() -> None:
    source = ScriptedSource([Listing([], "1")], [[Event("ADDED", thing("a", 7))], []])
    waits: list[int] = []
    seen(source, 4, waits)
    assert source.started_at == ["1", "7"]
    assert waits == []


def test_a_bookmark_moves_the_version_and_changes_nothing() -> None:
    source = ScriptedSource([Listing([], "1")], [[Event("BOOKMARK", thing("", 9))], []])
    assert seen(source, 3) == [[], [], []]
    assert source.started_at == ["1", "9"]


def test_broken_connections_are_retried_slower_each_time_until_something_comes() -> None:
    source = ScriptedSource(
        [Listing([], "1")],
        [
            [Interrupted("reset")],
            [Event("ERROR", {"code": 500, "message": "etcd leader changed"})],
            [Event("ADDED", thing("a", 2)), Interrupted("reset")],
            [],
        ],
    )
    waits: list[int] = []
    seen(source, 6, waits)
    assert waits == [0, 1, 0]
    assert source.started_at == ["1", "1", "1", "2"]


@pytest.mark.parametrize("end", [Gone(), Event("ERROR", {"code": 410, "message": "too old resource version"})])
def test_a_version_that_the_server_forgot_starts_over_from_a_listing(end: Event | Exception) -> None:
    source = ScriptedSource([Listing([thing("a", 1)], "1"), Listing([thing("b", 50)], "50")], [[end], []])
    states = seen(source, 3)
    assert [[item["metadata"]["uid"] for item in state] for state in states] == [["a"], ["b"], ["b"]]
    assert source.started_at == ["1", "50"]
