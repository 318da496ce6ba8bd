"""Event streams that arrive in any pieces."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.client.sse import EventDecoder

STREAM = (
    ': comment\n\ndata: {"a": "日本 😀"}\n\nevent: x\nid: 3\ndata:no space\r\n\r\ndata: one\ndata: two\n\ndata\n\ndata: [DONE]\r\r'
).encode()
EVENTS = ['{"a": "日本 😀"}', "no space", "one\ntwo", "", "[DONE]"]


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_the_events_do_not_depend_on_where_the_bytes_are_cut(cuts: list[int]) -> None:
    decoder = EventDecoder()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [event for start, end in itertools.pairwise(edges) for event in decoder.feed(STREAM[start:end])]
    found += decoder.feed(b"\n")  # lets a final carriage return be a line end
    assert [event.decode() for event in found] == EVENTS


def test_an_unfinished_event_is_not_an_event() -> None:
    assert EventDecoder().feed(b"data: half") == []
    assert EventDecoder().feed(b"data: whole line, no end\n") == []


def test_a_comment_between_events_is_no_event() -> None:
    assert EventDecoder().feed(b": ping\n\n: ping\n\n") == []
