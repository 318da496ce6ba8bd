"""A runner without a model: a cost model spends the time, prose.txt provides the words.

For rehearsals of machines that are not there, and to measure what everything around a model costs. It says so: in its
model id, in the fingerprint of every answer, and in the first sentence of each.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from serving.engine.clock import Clock, RealClock
from serving.engine.request import SamplingParams
from serving.engine.runner import Decode, PromptChunk, RunnerSpec, StepOutput
from serving.engine.runners.simulated_profile import Profile, load_profile
from serving.engine.runners.simulated_prose import MODEL_FOLDER, Answer, load_prose
from serving.errors import SetupError

__all__ = ["MODEL_FOLDER", "SimulatedRunner", "load_profile"]

SURE = 25.0  # the logit of the word to come, which is missed less than once in a million times at temperature 1
SECOND = 20.0  # the logit of what is said where an end is not allowed


@dataclass(slots=True)
class _Slot:
    key: int = 0  # a checksum of the prompt's ids
    prompt_tokens: int = 0
    answer: Answer | None = None  # None until the prompt is complete


class SimulatedRunner:
    """Answers that depend on nothing but the prompt's ids and the position, after the time that the profile says."""

    def __init__(
        self,
        profile: Profile,
        *,
        slots: int,
        positions: int,
        clock: Clock | None = None,
        vocabulary: int | None = None,  # None: the tokenizer's; more than that costs the sampling of a larger model
    ) -> None:
        """Raises SetupError when the profile has no times for so many slots or positions."""
        _check_covered(profile, slots, positions)
        self._profile = profile
        self._clock = clock or RealClock()
        self._prose = load_prose()
        self.spec = _spec(profile, slots, positions, vocabulary or self._prose.vocabulary, self._prose.eos_token_ids)
        self._slots = [_Slot() for _ in range(slots)]
        # Noise around 0, as a model's logits have it: equal ones would be an odd case for whoever samples.
        self._base = np.random.default_rng(0).standard_normal(self.spec.vocabulary, np.float32)
        self._base[self._prose.vocabulary :] -= SURE  # ids that the tokenizer does not have
        self._logits = np.tile(self._base, (slots, 1))
        self._raised: tuple[list[int], list[int]] = ([], [])  # rows and columns that the last step raised

    def wait_start_up(self, on_stage: Callable[[str, float], None] | None = None) -> None:
        """Spend the start-up's stages on the clock; `on_stage` hears of each one that has passed, with its seconds."""
        for stage in self._profile.start_up:
            self._clock.sleep_until(self._clock.now() + stage.seconds)
            if on_stage is not None:
                on_stage(stage.stage, stage.seconds)

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        """Spend the step's time and say the words to come."""
        done_s = self._clock.now() + self._cost_s(decodes, prompts)
        words = [self._word(decode.slot, decode.position) for decode in decodes]
        for chunk in prompts:
            self._read(chunk)
            if chunk.last:
                words.append(self._word(chunk.slot, chunk.start + len(chunk.token_ids) - 1))
        self._raise(words)
        self._clock.sleep_until(done_s)
        return StepOutput(logits=self._logits[: len(words)])

    def set_sampling(self, slot: int, params: SamplingParams) -> None:
        """Nothing: the engine samples."""

    def reset(self) -> None:
        """Forget every prompt."""
        self._slots = [_Slot() for _ in self._slots]

    def close(self) -> None:
        """Nothing to give back."""

    def _cost_s(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> float:
        seconds = sum(self._profile.prefill_s(len(chunk.token_ids)) for chunk in prompts)
        if decodes:
            batch = self.spec.slots if self._profile.reads_all_slots else len(decodes)
            seconds += self._profile.decode_s(batch, 1 + max(decode.position for decode in decodes))
        return seconds

    def _read(self, chunk: PromptChunk) -> None:
        slot = self._slots[chunk.slot]
        if chunk.start == 0:
            slot.key = 0
        slot.key = zlib.crc32(np.asarray(chunk.token_ids, np.int32).tobytes(), slot.key)
        slot.prompt_tokens = chunk.start + len(chunk.token_ids)
        slot.answer = None
        if chunk.last:
            slot.answer = Answer(
                self._prose,
                slot.key,
                least_tokens=self._profile.least_answer_tokens,
                most_tokens=self._profile.most_answer_tokens,
            )

    def _word(self, index: int, position: int) -> int:
        """What follows the token at `position` of slot `index`."""
        slot = self._slots[index]
        if slot.answer is None:
            raise ValueError(f"slot {index} decodes before its prompt is complete")
        return slot.answer.token(position - slot.prompt_tokens + 1)

    def _raise(self, words: Sequence[int]) -> None:
        self._logits[self._raised] = self._base[self._raised[1]]
        rows = list(range(len(words)))
        ends = [row for row, word in enumerate(words) if word == self._prose.eos]
        self._logits[ends, [self._prose.newline] * len(ends)] = SECOND
        self._logits[rows, words] = SURE
        self._raised = (rows + ends, [*words, *([self._prose.newline] * len(ends))])


def _spec(profile: Profile, slots: int, positions: int, vocabulary: int, eos_token_ids: frozenset[int]) -> RunnerSpec:
    name = f"simulated-{profile.name}"
    return RunnerSpec(
        model_id=name,
        fingerprint=f"{name}-estimate" if profile.estimate else name,
        slots=slots,
        positions=positions,
        longest_prompt=min(positions - 1, profile.longest_prompt),
        vocabulary=vocabulary,
        eos_token_ids=eos_token_ids,
        splits_prompts=profile.splits_prompts,
        samples_on_device=False,
        reproducible=True,
        weight_bits=profile.weight_bits,
        kv_bits=profile.kv_bits,
        kv_bytes=slots * positions * profile.kv_bytes_per_position,
    )


def _check_covered(profile: Profile, slots: int, positions: int) -> None:
    if slots > profile.most_slots:
        raise SetupError(f"The simulated profile {profile.name} has times for up to {profile.most_slots} slots.")
    if positions > profile.most_positions(slots):
        raise SetupError(
            f"The simulated profile {profile.name} has times for up to {profile.most_positions(slots)} positions."
        )
