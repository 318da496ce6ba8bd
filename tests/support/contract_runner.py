"""A runner that computes nothing, remembers everything, and holds its caller to the runner contract."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from serving.engine.request import SamplingParams
from serving.engine.runner import Decode, PromptChunk, RunnerError, RunnerSpec, StepOutput

EOS = 0

SPEC = RunnerSpec(
    model_id="contract",
    fingerprint="contract",
    slots=4,
    positions=64,
    longest_prompt=48,
    vocabulary=101,
    eos_token_ids=frozenset({EOS}),
    splits_prompts=True,
    samples_on_device=False,
    reproducible=True,
    weight_bits=32,
    kv_bits=32,
    kv_bytes=0,
)


class ContractBroken(AssertionError):
    """The engine did what a runner cannot serve."""


def spec(**changes: object) -> RunnerSpec:
    """SPEC with some fields changed."""
    return replace(SPEC, **changes)  # type: ignore[arg-type]


def next_token(history: Sequence[int], vocabulary: int, *, eos_every: int = 0) -> int:
    """What follows `history`, prompt and answer so far; EOS about once in `eos_every` times, never if 0.

    It depends on every token, so one that went to the wrong slot or place changes all that comes after.
    """
    digest = zlib.crc32(np.asarray(history, np.int64).tobytes())
    if eos_every and digest % eos_every == 0:
        return EOS
    return 1 + digest % (vocabulary - 1)


class ContractRunner:
    """Answers with `next_token`; raises ContractBroken, which no engine may survive, for a call against the contract."""

    def __init__(self, spec: RunnerSpec = SPEC, *, eos_every: int = 0) -> None:
        self.spec = spec
        self.eos_every = eos_every
        self.fails: Exception | None = None  # raised by the next `run`, once
        self.reset_fails: Exception | None = None
        self.closed = False
        self.steps: list[tuple[tuple[Decode, ...], tuple[PromptChunk, ...]]] = []
        self.broken: ContractBroken | None = None  # for callers that swallow what `run` raises
        self._held: dict[int, list[int]] = {}  # slot -> tokens in its cache
        self._complete: set[int] = set()  # slots that decode
        self._bound: set[int] = set()

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        """Check, remember, answer."""
        try:
            self._check(decodes, prompts)
        except ContractBroken as error:
            self.broken = error
            raise
        self.steps.append((tuple(decodes), tuple(prompts)))
        if self.fails is not None:
            failure, self.fails = self.fails, None
            self._held.clear()
            raise failure
        rows = [self._decode(decode) for decode in decodes]
        rows += [token for chunk in prompts if (token := self._prefill(chunk)) is not None]
        return self._output(rows)

    def set_sampling(self, slot: int, params: SamplingParams) -> None:
        """Remember that the slot's sampling is bound."""
        self._bound.add(slot)

    def reset(self) -> None:
        """Forget every slot, or fail."""
        if self.reset_fails is not None:
            raise self.reset_fails
        self._held.clear()
        self._complete.clear()
        self._bound.clear()

    def close(self) -> None:
        """Remember it."""
        _demand(not self.closed, "closed twice")
        self.closed = True

    def _check(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> None:
        _demand(not self.closed, "run after close")
        _demand(bool(decodes or prompts), "an empty step")
        slots = [decode.slot for decode in decodes] + [chunk.slot for chunk in prompts]
        _demand(len(slots) == len(set(slots)), f"a slot occurs twice in {slots}")
        _demand(all(0 <= slot < self.spec.slots for slot in slots), f"no such slot in {slots}")
        for decode in decodes:
            self._check_decode(decode)
        if decodes:  # who is absent has left, and may come back only with a new prompt
            self._complete &= {decode.slot for decode in decodes}
        for chunk in prompts:
            self._check_chunk(chunk)

    def _check_decode(self, decode: Decode) -> None:
        _demand(decode.slot in self._complete, f"slot {decode.slot} decodes without a complete prompt")
        held = len(self._held[decode.slot])
        _demand(decode.position == held, f"slot {decode.slot} holds {held} tokens, not {decode.position}")
        _demand(held < self.spec.positions, f"slot {decode.slot} is full")
        _demand(0 <= decode.token_id < self.spec.vocabulary, f"no such token: {decode.token_id}")

    def _check_chunk(self, chunk: PromptChunk) -> None:
        _demand(len(chunk.token_ids) > 0, "an empty piece of a prompt")
        if chunk.start == 0:
            _demand(chunk.slot in self._bound, f"slot {chunk.slot} has no sampling bound for its new prompt")
            self._bound.discard(chunk.slot)
        else:
            held = len(self._held.get(chunk.slot, ()))
            _demand(chunk.slot not in self._complete, f"slot {chunk.slot} goes on with a complete prompt")
            _demand(chunk.start == held, f"slot {chunk.slot} holds {held} prompt tokens, not {chunk.start}")
        _demand(chunk.start + len(chunk.token_ids) <= self.spec.longest_prompt, "a prompt is too long")
        _demand(self.spec.splits_prompts or (chunk.start == 0 and chunk.last), "a prompt in pieces")

    def _decode(self, decode: Decode) -> int:
        self._held[decode.slot].append(decode.token_id)
        return self._next(decode.slot)

    def _prefill(self, chunk: PromptChunk) -> int | None:
        self._held[chunk.slot] = self._held.get(chunk.slot, [])[: chunk.start] + list(chunk.token_ids)
        self._complete.discard(chunk.slot)
        if not chunk.last:
            return None
        self._complete.add(chunk.slot)
        return self._next(chunk.slot)

    def _next(self, slot: int) -> int:
        return next_token(self._held[slot], self.spec.vocabulary, eos_every=self.eos_every)

    def _output(self, rows: Sequence[int]) -> StepOutput:
        if self.spec.samples_on_device:
            return StepOutput(token_ids=np.asarray(rows, np.int64))
        logits = np.zeros((len(rows), self.spec.vocabulary), np.float32)
        logits[np.arange(len(rows)), np.asarray(rows, np.intp)] = 10.0
        return StepOutput(logits=logits)


def broken_device() -> RunnerError:
    """What a runner raises when its device fails."""
    return RunnerError("the device at /dev/secret0 failed")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ContractBroken(otherwise)
