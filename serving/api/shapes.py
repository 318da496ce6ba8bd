"""OpenAI's answers, whole and in chunks, for both endpoints.

What a chunk shares with the next is serialised once, so that a token costs one `json.dumps` of its text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from serving.api.logprobs import ChatLogprobs, CompletionLogprobs
from serving.chat.answer import Delta
from serving.chat.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of one answer repeats."""

    id: str
    created: int  # seconds since the epoch
    model: str
    system_fingerprint: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, exactly."""

    prompt_tokens: int
    completion_tokens: int

    def as_json(self) -> dict[str, int]:
        """OpenAI's object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


class Shape(Protocol):
    """One endpoint's answer to one request."""

    def opening(self) -> bytes:
        """What a stream begins with, before any token."""

    def frame(self, delta: Delta) -> bytes:
        """One server-sent event."""

    def usage_frame(self, usage: Usage) -> bytes:
        """The last event before `[DONE]` when the usage was asked for."""

    def whole(self, choices: Sequence[Sequence[Delta]], usage: Usage) -> dict[str, Any]:
        """Everything at once; `choices[i]` are the deltas of choice i."""


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


class _Frames:
    """Events whose unchanging parts are serialised once."""

    def __init__(self, object_name: str, head: Head, *, usage: bool) -> None:
        self._head = {
            "id": head.id,
            "object": object_name,
            "created": head.created,
            "model": head.model,
            "system_fingerprint": head.system_fingerprint,
        }
        self._before = "data: " + json.dumps(self._head, separators=(",", ":"))[:-1] + ',"choices":[{"index":'
        # Where the usage is asked for, OpenAI says null in every chunk but the last.
        self._after = '}],"usage":null}\n\n' if usage else "}]}\n\n"

    def frame(self, index: int, content: str, logprobs: object, finish_reason: str | None) -> bytes:
        """One event; `content` is JSON text: the field of a choice that carries what is new."""
        listed = "null" if logprobs is None else json.dumps(logprobs, separators=(",", ":"))
        reason = "null" if finish_reason is None else f'"{finish_reason}"'
        return f'{self._before}{index},{content},"logprobs":{listed},"finish_reason":{reason}{self._after}'.encode()

    def usage_frame(self, usage: Usage) -> bytes:
        """The event that only carries the usage."""
        return event(self._head | {"choices": [], "usage": usage.as_json()})


class ChatShape:
    """`chat.completion` and its chunks."""

    def __init__(self, head: Head, vocabulary: Vocabulary, *, choices: int, logprobs: bool, usage: bool) -> None:
        self._head = head
        self._choices = choices
        self._frames = _Frames("chat.completion.chunk", head, usage=usage)
        self._logprobs = ChatLogprobs(vocabulary) if logprobs else None

    def opening(self) -> bytes:
        """The role of each choice."""
        role = '"delta":{"role":"assistant","content":""}'
        return b"".join(self._frames.frame(index, role, None, None) for index in range(self._choices))

    def frame(self, delta: Delta) -> bytes:
        """What is new in one choice; the last event carries no empty text."""
        content = f'"delta":{{"content":{json.dumps(delta.text)}}}' if delta.text or delta.tokens else '"delta":{}'
        return self._frames.frame(delta.index, content, self._listed(delta), delta.finish_reason)

    def usage_frame(self, usage: Usage) -> bytes:
        """The last event before `[DONE]`."""
        return self._frames.usage_frame(usage)

    def whole(self, choices: Sequence[Sequence[Delta]], usage: Usage) -> dict[str, Any]:
        """The `chat.completion` object."""
        return {
            "id": self._head.id,
            "object": "chat.completion",
            "created": self._head.created,
            "model": self._head.model,
            "system_fingerprint": self._head.system_fingerprint,
            "choices": [self._choice(index, deltas) for index, deltas in enumerate(choices)],
            "usage": usage.as_json(),
        }

    def _choice(self, index: int, deltas: Sequence[Delta]) -> dict[str, Any]:
        return {
            "index": index,
            "message": {"role": "assistant", "content": "".join(d.text for d in deltas), "refusal": None},
            "logprobs": self._logprobs.listed([t for d in deltas for t in d.tokens]) if self._logprobs else None,
            "finish_reason": deltas[-1].finish_reason,
        }

    def _listed(self, delta: Delta) -> object:
        return self._logprobs.listed(delta.tokens) if self._logprobs and delta.tokens else None


class CompletionShape:
    """`text_completion`, whole and in chunks, which have the same name."""

    def __init__(self, head: Head, vocabulary: Vocabulary, *, choices: int, logprobs: bool, usage: bool) -> None:
        self._head = head
        self._frames = _Frames("text_completion", head, usage=usage)
        self._logprobs = [CompletionLogprobs(vocabulary) for _ in range(choices)] if logprobs else None

    def opening(self) -> bytes:
        """Nothing: the first event is the first token's."""
        return b""

    def frame(self, delta: Delta) -> bytes:
        """What is new in one choice."""
        return self._frames.frame(
            delta.index, f'"text":{json.dumps(delta.text)}', self._listed(delta.index, delta), delta.finish_reason
        )

    def usage_frame(self, usage: Usage) -> bytes:
        """The last event before `[DONE]`."""
        return self._frames.usage_frame(usage)

    def whole(self, choices: Sequence[Sequence[Delta]], usage: Usage) -> dict[str, Any]:
        """The `text_completion` object."""
        return {
            "id": self._head.id,
            "object": "text_completion",
            "created": self._head.created,
            "model": self._head.model,
            "system_fingerprint": self._head.system_fingerprint,
            "choices": [self._choice(index, deltas) for index, deltas in enumerate(choices)],
            "usage": usage.as_json(),
        }

    def _choice(self, index: int, deltas: Sequence[Delta]) -> dict[str, Any]:
        return {
            "index": index,
            "text": "".join(d.text for d in deltas),
            "logprobs": self._logprobs[index].listed([t for d in deltas for t in d.tokens]) if self._logprobs else None,
            "finish_reason": deltas[-1].finish_reason,
        }

    def _listed(self, index: int, delta: Delta) -> object:
        return self._logprobs[index].listed(delta.tokens) if self._logprobs and delta.tokens else None
