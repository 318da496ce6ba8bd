from __future__ import annotations

from bench.engine_runner import LIMITS, Recorder, row
from serving.engine.request import SamplingParams
from serving.engine.runner import PromptChunk
from serving.engine.runners.simulated import SimulatedRunner, load_profile

DEFAULT = SamplingParams(temperature=0.2, top_p=0.9)
PROMPTS = [tuple(range(3, 60))] * 8  # of 57 tokens: four and a half fit into one step's budget


class _Counted(SimulatedRunner):
    """Knows how many prompt tokens each of its runs computed, and how many decodes."""

    def __init__(self) -> None:
        super().__init__(load_profile("instant"), slots=8, positions=256)
        self.sizes: list[tuple[int, int]] = []

    def run(self, decodes, prompts):  # type: ignore[no-untyped-def]
        self.sizes.append((sum(len(chunk.token_ids) for chunk in prompts), len(decodes)))
        return super().run(decodes, prompts)


def test_the_bare_loop_makes_the_engines_own_calls() -> None:
    runner = _Counted()
    measured = row(runner, PROMPTS, default=DEFAULT, answer_tokens=4)
    calls = measured["calls"]
    assert isinstance(calls, int)
    engine, bare = runner.sizes[:calls], runner.sizes[calls : 2 * calls]
    assert engine == bare
    assert max(prompt_tokens for prompt_tokens, _ in bare) == LIMITS.prefill_budget_tokens  # several prompts a step


def test_a_row_has_a_ratio_for_each_way_of_sampling_and_names_the_default() -> None:
    measured = row(_Counted(), PROMPTS[:2], default=DEFAULT, answer_tokens=2)
    ratios = {name for name in measured if name.endswith("_ratio")}
    assert ratios == {"greedy_ratio", "default_ratio", "temperature_1_ratio"}
    assert measured["default"] == "temperature 0.2, top_p 0.9"
    spec = _Counted().spec
    assert (measured["weight_bits"], measured["kv_bits"]) == (spec.weight_bits, spec.kv_bits)


def test_a_recorder_keeps_calls_while_it_is_told_to() -> None:
    recorder = Recorder(_Counted())
    prompt = PromptChunk(0, 0, (3, 4), last=True)
    recorder.run([], [prompt])
    recorder.calls = []
    recorder.run([], [prompt])
    assert recorder.calls == [([], [prompt])]
