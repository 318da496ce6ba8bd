"""What an answer is, from its events alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadtest.client.answer import Answer
from loadtest.record import Outcome


def chunk(**choice: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, **choice}]}).encode()


def stream(*events: bytes) -> Answer:
    answer = Answer()
    answer.begin(200, {})
    for at_s, event in enumerate(events):
        answer.on_event(event, float(at_s))
    return answer


ROLE = chunk(delta={"role": "assistant", "content": ""})
END = chunk(delta={}, finish_reason="stop")


def test_the_first_token_is_the_first_text_and_not_the_role() -> None:
    answer = stream(ROLE, chunk(delta={"content": "Hi"}), END, b"[DONE]")
    assert answer.token_s == [1.0]
    assert answer.outcome() is Outcome.OK


def test_an_answer_without_finish_reason_or_without_terminator_is_truncated() -> None:
    assert stream(ROLE, chunk(delta={"content": "Hi"}), b"[DONE]").outcome() is Outcome.TRUNCATED
    assert stream(ROLE, chunk(delta={"content": "Hi"}), END).outcome() is Outcome.TRUNCATED


@pytest.mark.parametrize("event", [b'{"error": {"message": "broke"}}', b"not json", b"[1]"])
def test_an_error_inside_a_stream_is_an_error_though_the_status_was_200(event: bytes) -> None:
    answer = stream(ROLE, event, END, b"[DONE]")
    assert answer.outcome() is Outcome.STREAM_ERROR
    assert answer.error


@pytest.mark.parametrize(
    "event",
    [
        b'{"choices": ["x"]}',
        b'{"choices": 3}',
        b'{"choices": {"index": 0}}',
        chunk(delta="Hi"),
        chunk(delta={"content": ["Hi"]}),
        chunk(finish_reason={"type": "stop"}),
    ],
)
def test_an_event_that_is_no_chunk_fails_its_stream_and_nothing_else(event: bytes) -> None:
    answer = stream(ROLE, chunk(delta={"content": "Hi"}), event, END, b"[DONE]")
    assert answer.outcome() is Outcome.STREAM_ERROR
    assert answer.error == "an event is not a chat completion chunk"
    assert answer.token_s == [1.0]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(429, Outcome.RATE_LIMITED), (503, Outcome.UNAVAILABLE), (500, Outcome.SERVER_ERROR), (502, Outcome.SERVER_ERROR),
     (400, Outcome.REFUSED), (404, Outcome.REFUSED)],
)  # fmt: skip
def test_a_status_is_its_own_class(status: int, outcome: Outcome) -> None:
    answer = Answer()
    answer.begin(status, {"retry-after": "3"})
    answer.on_error_body(b'{"error": {"message": "come back later"}}')
    assert answer.outcome() is outcome
    assert answer.error == "come back later"
    assert answer.retry_after_s() == (3.0 if status in (429, 503) else None)


def test_no_status_at_all_is_a_connect_error() -> None:
    assert Answer().outcome() is Outcome.CONNECT_ERROR


def test_usage_gives_the_tokens_and_its_absence_gives_none() -> None:
    answer = stream(ROLE, b'{"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 9}}')
    assert answer.tokens("prompt_tokens") == 4
    assert answer.tokens("completion_tokens") == 9
    assert Answer().tokens("completion_tokens") is None


def test_a_body_that_is_not_json_is_kept_as_text() -> None:
    answer = Answer()
    answer.begin(502, {})
    answer.on_error_body(b"<html>bad gateway</html>")
    assert answer.error == "<html>bad gateway</html>"
