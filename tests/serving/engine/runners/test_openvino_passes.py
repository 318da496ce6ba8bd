from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.runner import Decode, PromptChunk
from serving.engine.runners.openvino_passes import BLOCK_TOKENS, FILLER, Limits, Pass, Span, inputs, split

INVARIANT = Limits(fewest_rows=2, most_rows=64, shortest_piece=2)
ANY = Limits()


def chunk(slot: int, start: int, length: int, *, last: bool = True) -> PromptChunk:
    return PromptChunk(slot, start, range(1000 * slot + start, 1000 * slot + start + length), last)


def test_without_limits_a_step_is_one_pass_with_decodes_first() -> None:
    [step] = split([Decode(3, 9, 40)], [chunk(1, 0, 500), chunk(2, 7, 1, last=False)], ANY)
    assert [(s.slot, s.start, len(s.token_ids), s.wanted_row) for s in step.sequences] == [
        (3, 40, 1, 0),
        (1, 0, 500, 499),
        (2, 7, 1, None),
    ]


@settings(deadline=None)
@given(
    decodes=st.lists(st.integers(0, 2000), max_size=130),
    prompts=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300), st.booleans()), max_size=4),
)
def test_within_limits_every_token_is_computed_once_in_order(
    decodes: list[int], prompts: list[tuple[int, int, bool]]
) -> None:
    asked = [Decode(slot, 7, position) for slot, position in enumerate(decodes)]
    chunks = [chunk(1000 + i, start, length, last=last) for i, (start, length, last) in enumerate(prompts)]
    passes = split(asked, chunks, INVARIANT)
    assert all(step.rows <= 64 for step in passes)
    spans = [span for step in passes for span in step.sequences]
    for one in chunks:
        pieces = [s for s in spans if s.slot == one.slot]
        assert all(len(p.token_ids) >= 2 for p in pieces)
        tokens: list[int] = []
        for piece in pieces:
            assert piece.start == one.start + len(tokens)
            tokens += piece.token_ids
        padding = len(tokens) - len(one.token_ids)
        assert tokens == [*one.token_ids, *[FILLER] * padding]
        assert padding in (0, 1)
    wanted = [s.slot for s in spans if s.wanted_row is not None]
    assert wanted == [d.slot for d in asked] + [c.slot for c in chunks if c.last]
    for span in spans:
        if span.wanted_row is not None and span.slot >= 1000:
            end = next(c.token_ids[-1] for c in chunks if c.slot == span.slot)
            assert span.token_ids[span.wanted_row] == end


def test_two_pieces_of_one_prompt_never_share_a_pass() -> None:
    for step in split([Decode(i, 1, 5) for i in range(63)], [chunk(70, 0, 200)], INVARIANT):
        slots = [s.slot for s in step.sequences]
        assert len(slots) == len(set(slots))


def arrays(*spans: Span, limits: Limits = ANY) -> dict[str, Any]:
    step = Pass()
    for span in spans:
        step.add(span)
    return {
        name: array.tolist() for name, array in inputs(step, blocks_per_slot=4, scratch_slot=8, limits=limits).items()
    }


def test_each_slot_reads_and_writes_its_own_run_of_blocks() -> None:
    made = arrays(Span(2, 31, (5,), 0), Span(0, 32, (6, 7, 8), 2))
    assert made["input_ids"] == [5, 6, 7, 8]
    assert made["position_ids"] == [31, 32, 33, 34]
    assert made["past_lens"] == [31, 32]
    assert made["subsequence_begins"] == [0, 1, 4]
    assert made["block_indices"] == [8, 0, 1]
    assert made["block_indices_begins"] == [0, 1, 3]
    assert made["max_context_len"] == 35
    assert made["logits_rows"] == [0, 3]


def test_a_lone_row_gets_company_in_the_scratch_block() -> None:
    made = arrays(Span(1, 100, (5,), 0), limits=INVARIANT)
    assert made["input_ids"] == [5, FILLER]
    assert made["block_indices"] == [4, 5, 6, 7, 8 * 4]
    assert made["logits_rows"] == [0, 0]


def test_a_pass_without_wanted_rows_still_asks_for_what_the_graph_needs() -> None:
    assert arrays(Span(1, 0, tuple(range(40)), None))["logits_rows"] == [0]


@settings(deadline=None)
@given(st.integers(0, 127), st.integers(1, 60))
def test_blocks_are_as_many_as_the_tokens_fill(start: int, length: int) -> None:
    made = arrays(Span(0, start, (1,) * length, None))
    assert len(made["block_indices"]) == int(np.ceil((start + length) / BLOCK_TOKENS))
