"""Turn one engine step into passes over the paged graph, and a pass into the arrays that the graph takes. Pure.

A pass is one `infer`. Kernels pick their order of summation by the shape of what they are given, so a token's logits
can depend on its company. `split` keeps every pass within `Limits`, inside which measurements found no dependence
(docs/decisions/cpu-precision.md); with no limits the whole step is one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serving.engine.runner import Decode, PromptChunk

BLOCK_TOKENS = 32  # of the KV cache; the CPU plugin's paged attention has no other size
FILLER = 0  # a token id whose result nobody reads


@dataclass(frozen=True, slots=True)
class Limits:
    """Between which sizes a kernel's result for one row does not depend on the other rows."""

    fewest_rows: int = 1  # of a pass, and of its logits
    most_rows: int = 1 << 30
    shortest_piece: int = 1  # tokens of a prompt: a lone one takes the path of decodes, which rounds otherwise


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive tokens of one slot within a pass."""

    slot: int
    start: int  # tokens of the slot that are in the cache already
    token_ids: Sequence[int]
    wanted_row: int | None  # which of its rows' logits are wanted; None: of no row


@dataclass(slots=True)
class Pass:
    """What one `infer` computes."""

    sequences: list[Span] = field(default_factory=list)
    rows: int = 0

    @classmethod
    def of(cls, span: Span) -> Pass:
        """A pass of one span."""
        alone = cls()
        alone.add(span)
        return alone

    def add(self, sequence: Span) -> None:
        """Append, keeping count."""
        self.sequences.append(sequence)
        self.rows += len(sequence.token_ids)

    @property
    def wanted(self) -> int:
        """Rows of logits that the caller waits for."""
        return sum(s.wanted_row is not None for s in self.sequences)


def split(decodes: Sequence[Decode], prompts: Sequence[PromptChunk], limits: Limits) -> list[Pass]:
    """Passes to compute in order: decodes first, then prompts in pieces; wanted rows come out in the same order."""
    passes = [Pass()]
    for decode in decodes:
        _room(passes, 1, limits).add(Span(decode.slot, decode.position, (decode.token_id,), 0))
    for prompt in prompts:
        done = 0
        while done < len(prompt.token_ids):
            current = _room(passes, limits.shortest_piece, limits)
            piece = tuple(prompt.token_ids[done : done + limits.most_rows - current.rows])
            start, done = prompt.start + done, done + len(piece)
            wanted = len(piece) - 1 if prompt.last and done == len(prompt.token_ids) else None
            # The slot's next token overwrites the filler, and no earlier position sees it.
            filled = piece + (FILLER,) * (limits.shortest_piece - len(piece))
            current.add(Span(prompt.slot, start, filled, wanted))
    return passes


def _room(passes: list[Pass], rows: int, limits: Limits) -> Pass:
    if passes[-1].rows + rows > limits.most_rows:
        passes.append(Pass())
    return passes[-1]


def inputs(
    step: Pass, *, blocks_per_slot: int, scratch_slot: int, limits: Limits
) -> dict[str, NDArray[np.int32 | np.int64]]:
    """The graph's arrays. Slot s owns the blocks from s × `blocks_per_slot`; fillers live in `scratch_slot`.

    `logits_rows` names the wanted rows, padded to `limits.fewest_rows`; the first `step.wanted` rows of the output count.
    """
    fillers = [Span(scratch_slot, 0, (FILLER,), None)] * max(0, limits.fewest_rows - step.rows)
    sequences = [*step.sequences, *fillers]
    past = np.array([s.start for s in sequences], np.int32)
    lengths = np.array([len(s.token_ids) for s in sequences], np.int32)
    begins = _offsets(lengths)
    blocks = -(-(past + lengths) // BLOCK_TOKENS)
    block_begins = _offsets(blocks)
    first_block = np.array([s.slot * blocks_per_slot for s in sequences], np.int32)
    within = np.arange(block_begins[-1], dtype=np.int32) - np.repeat(block_begins[:-1], blocks)
    rows = [
        int(begin) + s.wanted_row for begin, s in zip(begins[:-1], sequences, strict=True) if s.wanted_row is not None
    ]
    rows += [0] * (limits.fewest_rows - len(rows))
    return {
        "input_ids": np.fromiter((t for s in sequences for t in s.token_ids), np.int64, int(begins[-1])),
        "position_ids": np.arange(begins[-1], dtype=np.int64) + np.repeat(past - begins[:-1], lengths),
        "past_lens": past,
        "subsequence_begins": begins,
        "block_indices": np.repeat(first_block, blocks) + within,
        "block_indices_begins": block_begins,
        "max_context_len": np.array((past + lengths).max(), np.int32),
        "logits_rows": np.array(rows, np.int32),
    }


def _offsets(lengths: NDArray[np.int32]) -> NDArray[np.int32]:
    """[n] -> [n + 1]: where each begins, and where the last ends."""
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
