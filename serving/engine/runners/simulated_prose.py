"""What a simulated model says: sentences of plain prose, in an order that the prompt decides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from serving.engine.draw import uniforms

MODEL_FOLDER = Path(__file__).parent / "simulated_model"  # tokenizer.json, tokenizer_config.json, config.json


@dataclass(frozen=True, slots=True)
class Prose:
    """The sentences as token ids, and the tokens that structure them."""

    sentences: tuple[tuple[int, ...], ...]  # each with its leading space
    opening: tuple[int, ...]  # the first sentence, without it
    eos: int
    newline: int
    eos_token_ids: frozenset[int]
    vocabulary: int


def load_prose(folder: Path = MODEL_FOLDER) -> Prose:
    """Read prose.txt through the folder's own tokenizer."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    lines = (folder / "prose.txt").read_text(encoding="utf-8").splitlines()
    return Prose(
        sentences=tuple(tuple(tokenizer.encode(f" {line}").ids) for line in lines),
        opening=tuple(tokenizer.encode(lines[0]).ids),
        eos=config["eos_token_id"][-1],
        newline=tokenizer.encode("\n").ids[0],
        eos_token_ids=frozenset(config["eos_token_id"]),
        vocabulary=config["vocab_size"],
    )


class Answer:
    """The endless answer to one prompt: it starts by saying what it is, and from some length on, every full stop ends it.

    Endless, because a caller may ignore the end: `ignore_eos` reads on, and under `min_tokens` a newline takes its place.
    """

    def __init__(self, prose: Prose, key: int, *, least_tokens: int, most_tokens: int) -> None:
        self._prose = prose
        self._key = key
        self._ends_from = least_tokens + int(next(uniforms(key, 0)) * (most_tokens - least_tokens + 1))
        self._tokens = list(prose.opening)
        self._sentence = 0
        self._sentences_told = 1

    def token(self, index: int) -> int:
        """The token at `index` of the answer."""
        while index >= len(self._tokens):
            self._tell_on()
        return self._tokens[index]

    def _tell_on(self) -> None:
        if len(self._tokens) >= self._ends_from and self._tokens[-1] != self._prose.eos:
            self._tokens.append(self._prose.eos)
            return
        others = len(self._prose.sentences) - 1
        skipped = int(next(uniforms(self._key, self._sentences_told)) * others)
        self._sentence += 1 + skipped  # never the same one twice in a row
        self._sentences_told += 1
        self._tokens += self._prose.sentences[self._sentence % len(self._prose.sentences)]
