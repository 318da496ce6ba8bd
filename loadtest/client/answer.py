"""What an answer has said so far, and which outcome that is. Pure: instants are handed in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from loadtest.record import Outcome
from loadtest.settings import GIVE_A_KEY

UNAUTHORIZED = 401
_BY_STATUS = {429: Outcome.RATE_LIMITED, 503: Outcome.UNAVAILABLE}
_LONGEST_ERROR = 300  # characters of a server's message that a report keeps


@dataclass(slots=True)
class Answer:
    """Filled in while the bytes arrive; `outcome()` at the end."""

    sent_s: float | None = None
    ended_s: float = 0.0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    token_s: list[float] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    terminated: bool = False  # data: [DONE]
    usage: dict[str, Any] | None = None
    fingerprint: str | None = None  # system_fingerprint: which runner, in which precision
    error: str | None = None
    stream_failed: bool = False
    attempts: int = 0
    stale_connections: int = 0
    stopped: Outcome | None = None  # what ended it from our side, or before any byte came

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """A status line has come: forget what an earlier attempt said."""
        self.status, self.headers = status, headers
        self.error = None

    def on_event(self, data: bytes, at_s: float) -> None:
        """One event of the stream, received at `at_s`."""
        if data == b"[DONE]":
            self.terminated = True
            return
        try:
            event = json.loads(data)
        except ValueError:
            self.fail_stream("an event is not JSON")
            return
        if not isinstance(event, dict):
            self.fail_stream("an event is not an object")
        elif event.get("error"):
            self.fail_stream(_message(event))
        else:
            self._on_chunk(event, at_s)

    def _on_chunk(self, event: dict[str, Any], at_s: float) -> None:
        choices = event.get("choices") or []
        if not (isinstance(choices, list) and all(map(_is_choice, choices))):
            self.fail_stream("an event is not a chat completion chunk")
            return
        if isinstance(event.get("usage"), dict):
            self.usage = event["usage"]
        self.fingerprint = event.get("system_fingerprint") or self.fingerprint
        for choice in choices:
            content = (choice.get("delta") or {}).get("content")
            if content:  # a chunk that only carries the role is not a token
                self.token_s.append(at_s)
                self.text.append(content)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def on_error_body(self, body: bytes) -> None:
        """The whole body of an answer that is not 200."""
        try:
            self.error = _message(json.loads(body))
        except ValueError:
            self.error = body[:_LONGEST_ERROR].decode("utf-8", "replace")
        if self.status == UNAUTHORIZED:
            self.error += f" ({GIVE_A_KEY})"

    def fail_stream(self, why: str) -> None:
        """The stream said, inside a 200, that it failed."""
        self.stream_failed = True
        self.error = why[:_LONGEST_ERROR]

    def outcome(self) -> Outcome:
        """The one class of this answer."""
        if self.stopped is not None:
            return self.stopped
        if self.status is None:
            return Outcome.CONNECT_ERROR
        if self.status != 200:
            return _BY_STATUS.get(self.status) or (Outcome.REFUSED if self.status < 500 else Outcome.SERVER_ERROR)
        if self.stream_failed:
            return Outcome.STREAM_ERROR
        return Outcome.OK if self.terminated and self.finish_reason else Outcome.TRUNCATED

    def retry_after_s(self) -> float | None:
        """Seconds that a 429 or 503 asks us to wait, if it says so in seconds."""
        text = self.headers.get("retry-after", "")
        return float(text) if self.status in _BY_STATUS and text.isdigit() else None

    def tokens(self, which: str) -> int | None:
        """`prompt_tokens` or `completion_tokens` of the server's usage."""
        count = (self.usage or {}).get(which)
        return count if isinstance(count, int) else None


def _is_choice(choice: Any) -> bool:
    """Whether everything that is read of it is what it should be."""
    if not isinstance(choice, dict) or not isinstance(delta := choice.get("delta") or {}, dict):
        return False
    return all(isinstance(text or "", str) for text in (delta.get("content"), choice.get("finish_reason")))


def _message(document: Any) -> str:
    error = document.get("error") if isinstance(document, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    return str(text or document)[:_LONGEST_ERROR]
