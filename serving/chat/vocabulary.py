"""Token id -> the bytes it stands for, read from the decoder that tokenizer.json declares.

With such a table, text comes out of a growing answer in constant time per token and exactly, by the interpreter's own
incremental UTF-8 decoder. Decoding the ids again and again, as most servers do, is neither: it guesses at a character's
end by looking for U+FFFD, which is also a character that a model may write.

Two families cover the decoders of today's language models: byte-level (GPT-2, Llama 3, SmolLM2, Qwen) and
SentencePiece-like (Llama 2, Mistral, Gemma: a sign for the space, and `<0xE2>` for a byte).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from serving.errors import SetupError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What each token writes."""

    table: tuple[bytes, ...]  # by token id; empty for special tokens and for ids that the tokenizer does not know
    names: tuple[str, ...]  # by token id, as the tokenizer spells them
    drops_first_space: bool  # the decoder removes one space at the start of a text

    def written(self, token_id: int) -> bytes:
        """The token's bytes; of a special token its name's, since it writes nothing."""
        return self.table[token_id] or self.names[token_id].encode()


@dataclass(frozen=True, slots=True)
class _Decoder:
    to_bytes: Callable[[str], bytes]
    drops_first_space: bool


def read_vocabulary(tokenizer: Tokenizer, *, rows: int = 0) -> Vocabulary:
    """The table of `tokenizer`, padded to `rows` ids (a model's output head may have more rows than tokens).

    Raises SetupError when tokenizer.json declares a decoder of neither family.
    """
    decoder = _read_decoder(json.loads(tokenizer.to_str())["decoder"])
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    ids = tokenizer.get_vocab(with_added_tokens=True)
    size = max(rows, max(ids.values(), default=-1) + 1)
    table, names = [b""] * size, [""] * size
    for name, token_id in ids.items():
        names[token_id] = name
        if token_id not in special:
            table[token_id] = decoder.to_bytes(name)
    return Vocabulary(tuple(table), tuple(names), decoder.drops_first_space)


def _read_decoder(declared: dict[str, Any] | None) -> _Decoder:
    steps = _flatten(declared)
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        return _Decoder(_byte_level, drops_first_space=False)
    if kinds == ["Metaspace"]:
        never = steps[0].get("prepend_scheme") == "never" or steps[0].get("add_prefix_space") is False
        return _Decoder(_replacing({steps[0]["replacement"]: " "}, byte_tokens=False), drops_first_space=not never)
    if steps and all(map(_is_sentencepiece, steps)) and kinds == sorted(kinds, key=_SENTENCEPIECE.index):
        replaced = {s["pattern"]["String"]: s["content"] for s in steps if s["type"] == "Replace"}
        return _Decoder(_replacing(replaced, byte_tokens="ByteFallback" in kinds), drops_first_space="Strip" in kinds)
    raise SetupError(
        f"tokenizer.json declares the decoder {'+'.join(kinds) or 'none'}, which this server cannot stream: "
        "it knows ByteLevel, Metaspace, and Replace+ByteFallback+Fuse+Strip."
    )


_SENTENCEPIECE = ["Replace", "ByteFallback", "Fuse", "Strip"]  # in this order


def _flatten(declared: dict[str, Any] | None) -> list[dict[str, Any]]:
    if declared is None:
        return []
    if declared["type"] == "Sequence":
        return [step for inner in declared["decoders"] for step in _flatten(inner)]
    return [declared]


def _is_sentencepiece(step: dict[str, Any]) -> bool:
    if step["type"] == "Replace":
        return "String" in step["pattern"]
    if step["type"] == "Strip":
        return (step["content"], step["start"], step["stop"]) == (" ", 1, 0)
    return step["type"] in ("ByteFallback", "Fuse")


def _replacing(replaced: dict[str, str], *, byte_tokens: bool) -> Callable[[str], bytes]:
    def to_bytes(name: str) -> bytes:
        match = _BYTE_TOKEN.fullmatch(name) if byte_tokens else None
        if match:
            return bytes([int(match[1], 16)])
        for sign, text in replaced.items():
            name = name.replace(sign, text)
        return name.encode()

    return to_bytes


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's letters for the 256 bytes: printable Latin-1 stands for itself, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(rest)}


_ALPHABET = _byte_level_alphabet()


def _byte_level(name: str) -> bytes:
    """Added tokens are not spelled in the alphabet, and stand for themselves."""
    try:
        return bytes([_ALPHABET[letter] for letter in name])
    except KeyError:
        return name.encode()
