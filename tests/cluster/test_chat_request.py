from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cluster.chat_request import is_ready, stream_chat
from cluster.errors import ClusterError


class Answers(BaseHTTPRequestHandler):
    """`/v1/models`, and whatever the test wants of a chat."""

    status = 200
    body = ""
    asked: list[Any]

    def do_GET(self) -> None:
        self._answer(200, json.dumps({"data": [{"id": "model"}]}))

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self._answer(self.status, self.body)

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Nothing."""


@pytest.fixture
def answers() -> Iterator[tuple[type[Answers], str]]:
    handler = type("Handler", (Answers,), {"asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield handler, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def ask(base_url: str) -> str:
    return "".join(stream_chat(base_url, "Hi.", sampling={"max_tokens": 7}, api_key=None))


def event(content: str) -> str:
    return f"data: {json.dumps({'choices': [{'delta': {'content': content}}]})}\n\n"


def test_text_is_joined_and_heartbeats_are_skipped(answers: tuple[type[Answers], str]) -> None:
    handler, url = answers
    handler.body = f": waiting\n\n{event('Hel')}{event('lo')}data: [DONE]\n\n"
    assert ask(url) == "Hello"
    assert handler.asked[0]["model"] == "model"
    assert handler.asked[0]["max_tokens"] == 7
    assert is_ready(url)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (429, '{"error": {"message": "The queue is full."}}', "429: The queue is full"),
        (503, "No replicas are available yet.", "503: No replicas"),
        (200, event("Hel"), "broke off before its end"),
        (200, 'data: {"error": {"message": "The runner failed."}}\n\n', "The runner failed"),
    ],
)
def test_what_is_not_a_whole_answer_is_an_error(
    answers: tuple[type[Answers], str], status: int, body: str, said: str
) -> None:
    handler, url = answers
    handler.status, handler.body = status, body
    with pytest.raises(ClusterError, match=said):
        ask(url)


def test_nobody_there_is_one_sentence() -> None:
    with pytest.raises(ClusterError, match="is it deployed"):
        ask("http://127.0.0.1:9")
    assert not is_ready("http://127.0.0.1:9")
