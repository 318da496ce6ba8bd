"""OpenAI's answers, whole and in chunks, for both endpoints.

What a chunk shares with the next is serialised once, so that a token costs one `json.dumps` of its text.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from serving.api.logprobs import ChatLogprobs, CompletionLogprobs
from serving.chat.answer import Delta
from serving.chat.vocabulary import Vocabulary
from serving.engine.request import Token


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


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + _json(data).encode() + b"\n\n"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


class Shape(ABC):
    """One endpoint's answer to one request."""

    whole_object: ClassVar[str]
    chunk_object: ClassVar[str]
    logprobs_list: ClassVar[type[ChatLogprobs] | type[CompletionLogprobs]]

    def __init__(self, head: Head, vocabulary: Vocabulary, *, choices: int, logprobs: bool, usage: bool) -> None:
        """`usage`: a stream ends with it."""
        self._head = head
        self._choices = choices
        self._logprobs = [self.logprobs_list(vocabulary) for _ in range(choices)] if logprobs else None
        self._before = "data: " + _json(self._object(self.chunk_object))[:-1] + ',"choices":[{"index":'
        # Where the usage is asked for, OpenAI says null in every chunk but the last.
        self._after = '}],"usage":null}\n\n' if usage else "}]}\n\n"

    def opening(self) -> bytes:
        """What a stream begins with, before any token."""
        return b""

    def frame(self, delta: Delta) -> bytes:
        """One server-sent event: what is new in one choice."""
        return self._event(delta.index, self._news(delta), self._listed(delta.index, delta.tokens), delta.finish_reason)

    def usage_frame(self, usage: Usage) -> bytes:
        """The last event before `[DONE]` when the usage was asked for."""
        return event(self._object(self.chunk_object) | {"choices": [], "usage": usage.as_json()})

    def whole(self, choices: Sequence[Sequence[Delta]], usage: Usage) -> dict[str, Any]:
        """Everything at once; `choices[i]` are the deltas of choice i."""
        listed = [self._choice(index, deltas) for index, deltas in enumerate(choices)]
        return self._object(self.whole_object) | {"choices": listed, "usage": usage.as_json()}

    @abstractmethod
    def _news(self, delta: Delta) -> str:
        """The member of a chunk's choice that carries the text, as JSON."""

    @abstractmethod
    def _content(self, text: str) -> dict[str, Any]:
        """The member of a whole answer's choice that carries the text."""

    def _object(self, name: str) -> dict[str, Any]:
        return {
            "id": self._head.id,
            "object": name,
            "created": self._head.created,
            "model": self._head.model,
            "system_fingerprint": self._head.system_fingerprint,
        }

    def _choice(self, index: int, deltas: Sequence[Delta]) -> dict[str, Any]:
        tokens = [token for delta in deltas for token in delta.tokens]
        logprobs = self._logprobs[index].listed(tokens) if self._logprobs else None
        content = self._content("".join(delta.text for delta in deltas))
        return {"index": index} | content | {"logprobs": logprobs, "finish_reason": deltas[-1].finish_reason}

    def _listed(self, index: int, tokens: Sequence[Token]) -> str:
        return _json(self._logprobs[index].listed(tokens)) if self._logprobs and tokens else "null"

    def _event(self, index: int, news: str, logprobs: str, finish_reason: str | None) -> bytes:
        reason = "null" if finish_reason is None else f'"{finish_reason}"'
        return f'{self._before}{index},{news},"logprobs":{logprobs},"finish_reason":{reason}{self._after}'.encode()


class ChatShape(Shape):
    """`chat.completion` and its chunks."""

    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"
    logprobs_list = ChatLogprobs

    def opening(self) -> bytes:
        """The role of each choice."""
        role = '"delta":{"role":"assistant","content":""}'
        return b"".join(self._event(index, role, "null", None) for index in range(self._choices))

    def _news(self, delta: Delta) -> str:
        if not delta.tokens and not delta.text:  # only its end is new
            return '"delta":{}'
        return f'"delta":{{"content":{json.dumps(delta.text)}}}'

    def _content(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}


class CompletionShape(Shape):
    """`text_completion`, whole and in chunks, which have the same name."""

    whole_object = "text_completion"
    chunk_object = "text_completion"
    logprobs_list = CompletionLogprobs

    def _news(self, delta: Delta) -> str:
        return f'"text":{json.dumps(delta.text)}'

    def _content(self, text: str) -> dict[str, Any]:
        return {"text": text}
