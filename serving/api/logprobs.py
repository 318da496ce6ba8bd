"""Log probabilities in OpenAI's two shapes: one entry for every token that the usage counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.chat.vocabulary import Vocabulary
from serving.engine.request import Token

_IMPOSSIBLE = -9999.0  # JSON has no infinity; OpenAI writes this for it


class ChatLogprobs:
    """`logprobs` of a chat choice."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def listed(self, tokens: Sequence[Token]) -> dict[str, Any]:
        """Entries of `tokens`, in order."""
        return {"content": [self._entry(token) for token in tokens], "refusal": None}

    def _entry(self, token: Token) -> dict[str, Any]:
        alternatives = [self._listed(token_id, logprob) for token_id, logprob in token.top_logprobs]
        return self._listed(token.token_id, token.logprob) | {"top_logprobs": alternatives}

    def _listed(self, token_id: int, logprob: float | None) -> dict[str, Any]:
        written = self._vocabulary.written(token_id)
        return {"token": _text(written), "logprob": _finite(logprob), "bytes": list(written)}


class CompletionLogprobs:
    """`logprobs` of one completion choice; remembers where in the text the next token begins."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._offset = 0  # characters

    def listed(self, tokens: Sequence[Token]) -> dict[str, Any]:
        """Four lists, one entry for each token in each."""
        written = [self._vocabulary.written(token.token_id) for token in tokens]
        return {
            "tokens": [_text(piece) for piece in written],
            "token_logprobs": [_finite(token.logprob) for token in tokens],
            "top_logprobs": [self._alternatives(token) for token in tokens],
            "text_offset": [self._advance(piece) for piece in written],
        }

    def _alternatives(self, token: Token) -> dict[str, float]:
        return {_text(self._vocabulary.written(i)): _finite(logprob) for i, logprob in token.top_logprobs}

    def _advance(self, written: bytes) -> int:
        """The offset of this token, in characters: bytes that continue one begin none."""
        offset = self._offset
        self._offset += sum(byte & 0xC0 != 0x80 for byte in written)
        return offset


def _text(written: bytes) -> str:
    return written.decode("utf-8", "replace")


def _finite(logprob: float | None) -> float:
    return _IMPOSSIBLE if logprob is None else max(logprob, _IMPOSSIBLE)
