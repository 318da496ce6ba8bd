"""The client against the golden server: every class of failure exact, counts exact, connections as promised."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
import pytest

from loadtest import prompts
from loadtest.client.answer import Answer
from loadtest.client.chat import ChatClient
from loadtest.client.connection import Endpoint
from loadtest.errors import TargetAbsent, UsageError
from loadtest.record import Outcome
from tests.support import golden_oracle
from tests.support.golden_process import golden
from tests.support.load_profiles import profile


def ask_all(url: str, count: int, *, answer_tokens: int = 6, **sending: Any) -> list[Answer]:
    """One after the other, on one client; nothing times out by itself, however slow the machine is."""
    asked = profile(
        sending={"timeout_s": 60, "connect_timeout_s": 60} | sending,
        prompts={"words": 5, "answer_tokens": answer_tokens},
    )
    client = ChatClient(Endpoint.parse(url), asked.sending, clock=time.monotonic)
    answers = []
    for number in range(count):
        answer = Answer()
        client.ask(prompts.request(asked, number), answer)
        answers.append(answer)
    client.close()
    return answers


def test_every_class_of_failure_is_told_apart_exactly(tmp_path: Path) -> None:
    kinds = ["ok", "429", "503", "500", "400", "no_finish", "no_done", "cut", "stream_error", "reset", "ok", "silent"]
    with golden(tmp_path, cycle=kinds) as server:
        answers = ask_all(server.url, len(kinds) - 1, reuse_connections=False)
        answers += ask_all(server.url, 1, timeout_s=0.6)
    assert [answer.outcome().value for answer in answers] == [golden_oracle.OUTCOME_OF_KIND[kind] for kind in kinds]


def test_tokens_and_text_are_exact_though_split_within_characters_and_events(tmp_path: Path) -> None:
    with golden(tmp_path, itl_s=0.003) as server:
        answers = ask_all(server.url, 5)
    truths = server.truths()
    assert [answer.tokens("completion_tokens") for answer in answers] == [truth.tokens for truth in truths]
    assert [len(answer.token_s) for answer in answers] == [truth.tokens for truth in truths]
    assert "".join(answers[0].text) == "Hello wörld 日本語 😀 naïve"


def test_instants_are_those_at_which_the_server_sent(tmp_path: Path) -> None:
    gap_s = 0.1
    with golden(tmp_path, itl_s=gap_s) as server:
        answers = ask_all(server.url, 2)
    late = [
        received_s - sent_s
        for answer, truth in zip(answers, server.truths(), strict=True)
        for received_s, sent_s in zip(answer.token_s, truth.sent_s, strict=True)
    ]
    assert min(late) > 0  # nothing is received before it was sent
    assert golden_oracle.percentile(late, 50) < gap_s / 2  # and not with the next one, even where a machine is busy


def test_a_stale_connection_is_counted_and_the_request_sent_again_once_on_a_fresh_one(tmp_path: Path) -> None:
    with golden(tmp_path, cycle=["stale", "ok", "ok"]) as server:
        answers = ask_all(server.url, 3)
    assert [answer.stale_connections for answer in answers] == [0, 1, 0]
    assert {answer.outcome() for answer in answers} == {Outcome.OK}


def test_a_fresh_connection_that_closes_before_any_byte_is_not_sent_again(tmp_path: Path) -> None:
    with golden(tmp_path, cycle=["reset", "ok"]) as server:
        (answer,) = ask_all(server.url, 1)
        assert len(server.truths()) == 1
    assert answer.outcome() is Outcome.CONNECT_ERROR
    assert answer.stale_connections == 0


def test_connections_are_reused_only_where_the_profile_says_so(tmp_path: Path) -> None:
    with golden(tmp_path, cycle=["stale"]) as server:
        answers = ask_all(server.url, 3, reuse_connections=False)
    assert [answer.stale_connections for answer in answers] == [0, 0, 0]


def test_retry_after_is_honoured_where_the_profile_says_so(tmp_path: Path) -> None:
    with golden(tmp_path, cycle=["429", "ok"], retry_after_s=1) as server:
        (answer,) = ask_all(server.url, 1, honour_retry_after=True)
    assert answer.outcome() is Outcome.OK
    assert answer.attempts == 2
    assert answer.ended_s - (answer.sent_s or 0) > 1.0  # measured from the first time that it was sent


def test_retries_end_where_the_profile_ends_them(tmp_path: Path) -> None:
    with golden(tmp_path, cycle=["503"], retry_after_s=0) as server:
        (answer,) = ask_all(server.url, 1, honour_retry_after=True, most_retries=2)
    assert answer.outcome() is Outcome.UNAVAILABLE
    assert answer.attempts == 3


def test_a_reader_who_leaves_is_cancelled_and_the_server_sees_it(tmp_path: Path) -> None:
    with golden(tmp_path, itl_s=0.05) as server:
        (answer,) = ask_all(server.url, 1, answer_tokens=400, cancel_share=1.0, cancel_after_tokens=2)
        while not server.truths():  # a request is written down at its end
            gevent.sleep(0.01)
    assert answer.outcome() is Outcome.CANCELLED
    assert len(answer.token_s) == 2
    assert len(server.truths()[0].sent_s) < 100  # five seconds of them


def test_nobody_at_the_address_is_a_connect_error_and_prepare_says_so(tmp_path: Path) -> None:
    with golden(tmp_path) as server:
        url = server.url
    (answer,) = ask_all(url, 1)
    assert answer.outcome() is Outcome.CONNECT_ERROR
    with pytest.raises(TargetAbsent, match="no chatbot answers"):
        ChatClient(Endpoint.parse(url), profile().sending, clock=time.monotonic).prepare()


def test_many_streams_at_once_keep_their_events_apart(tmp_path: Path) -> None:
    with golden(tmp_path, itl_s=0.01) as server:
        asked = profile()
        client = ChatClient(Endpoint.parse(server.url), asked.sending, clock=time.monotonic)
        answers = [Answer() for _ in range(40)]
        gevent.joinall([gevent.spawn(client.ask, prompts.request(asked, i), a) for i, a in enumerate(answers)])
        client.close()
    assert Counter(answer.outcome() for answer in answers) == {Outcome.OK: 40}
    assert Counter(truth.tokens for truth in server.truths()) == {6: 40}
    assert {len(answer.token_s) for answer in answers} == {6}


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://h:1/", Endpoint("h", 1, False, "")),
        ("h:1", Endpoint("h", 1, False, "")),
        ("https://h/a/v1", Endpoint("h", 443, True, "/a")),
        ("http://[::1]:8000", Endpoint("::1", 8000, False, "")),
    ],
)
def test_an_address_is_read(url: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(url) == Endpoint.parse(str(endpoint)) == endpoint


def test_an_ipv6_address_keeps_its_brackets_where_a_port_follows() -> None:
    endpoint = Endpoint.parse("http://[::1]:8000/a")
    assert str(endpoint) == "http://[::1]:8000/a"
    assert b"\r\nHost: [::1]:8000\r\n" in endpoint.request("GET", "/v1/models")


@pytest.mark.parametrize(
    "url", ["ftp://h", "http://", "http://h:port", "http://h:99999", "http://[::1", "http://::1:80"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="give the chatbot's address as http://HOST:PORT"):
        Endpoint.parse(url)


def test_a_chatbot_that_wants_a_key_is_told_apart_from_none_and_says_which_variable_to_set(tmp_path: Path) -> None:
    said = "set CHATBOT_LOADTEST_API_KEY to a key that it knows"
    with golden(tmp_path, key="secret") as server:
        (answer,) = ask_all(server.url, 1, model="golden")
        with pytest.raises(TargetAbsent, match=f"answers 401: {said}"):
            ChatClient(Endpoint.parse(server.url), profile().sending, clock=time.monotonic).prepare()
        keyed = Endpoint.parse(server.url, api_key="secret")
        assert ChatClient(keyed, profile().sending, clock=time.monotonic).prepare() == "golden"
    assert (answer.outcome(), answer.error) == (Outcome.REFUSED, f"golden wants a key ({said})")
