"""The seam between the engine and whatever computes logits.

A runner owns `slots` sequences of at most `positions` tokens each. The engine owns the decisions: which slot holds
whom, what runs next, and (unless the runner samples on its device) which token is picked.

The shape is transformers-neuronx' continuous batching contract, the strictest of the backends: every live slot is in
every decode, prompts fill one slot at a time, sampling rows belong to slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.engine.request import SamplingParams


@dataclass(frozen=True, slots=True)
class RunnerSpec:
    """What a runner says of itself; the scheduler and the API decide by it and by nothing else."""

    model_id: str  # what /v1/models lists; a simulated runner says so here
    fingerprint: str  # system_fingerprint of every answer: runner, precision, version
    slots: int
    positions: int  # prompt and answer of one slot together, in tokens
    longest_prompt: int  # tokens
    vocabulary: int
    eos_token_ids: frozenset[int]
    splits_prompts: bool  # True: a prompt may arrive in pieces; False: always whole
    samples_on_device: bool  # True: `run` returns token ids; False: logits
    reproducible: bool  # a seed gives the same tokens whatever else runs
    weight_bits: int
    kv_bits: int
    kv_bytes: int  # of the whole cache: slots × positions × bytes per position


@dataclass(frozen=True, slots=True)
class PromptChunk:
    """A prompt, or a piece of one, for one slot."""

    slot: int
    start: int  # tokens of this slot that are in its cache already; 0 overwrites whatever the slot held before
    token_ids: Sequence[int]
    last: bool  # the prompt ends here: its row of output is wanted


@dataclass(frozen=True, slots=True)
class Decode:
    """One more token for one live slot."""

    slot: int
    token_id: int  # the last sampled token, not yet in the cache
    position: int  # where it goes: tokens of this slot that are in the cache already


@dataclass(frozen=True, slots=True)
class StepOutput:
    """One row for each decode, in order, then one for each prompt chunk that is the last of its prompt.

    Exactly one of the two is set: `logits` float32 [rows, vocabulary], valid until the next `run`; or `token_ids`
    int64 [rows] where the runner samples on its device.
    """

    logits: NDArray[np.float32] | None = None
    token_ids: NDArray[np.int64] | None = None


class Runner(Protocol):
    """One model on one device. Called by one thread only; `run` releases the GIL while it computes."""

    @property
    def spec(self) -> RunnerSpec:
        """Fixed for the runner's life."""

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        """Compute one step. `decodes` holds every slot whose prompt is complete, or is empty.

        Raises RunnerError when the device failed: what any slot holds is then undefined, until `reset`.
        """

    def set_sampling(self, slot: int, params: SamplingParams) -> None:
        """Bind a slot's sampling row, before its first prompt chunk; a no-op unless `samples_on_device`."""

    def reset(self) -> None:
        """Make every slot usable again after a failure. Raises RunnerError if it cannot."""

    def close(self) -> None:
        """Give the device back."""


class RunnerError(Exception):
    """The device or its library failed. Its text goes to the log, never to a client."""
