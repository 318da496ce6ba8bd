from __future__ import annotations

import json
import threading

import pytest
from tokenizers import Tokenizer

from serving.engine.clock import VirtualClock
from serving.engine.core import EngineCore
from serving.engine.observer import Unobserved
from serving.engine.request import GenerationRequest, SamplingParams
from serving.engine.runner import Decode, PromptChunk
from serving.engine.runners.simulated import MODEL_FOLDER, SimulatedRunner, load_profile
from serving.engine.runners.simulated_model import build
from serving.engine.scheduler import Scheduler
from serving.engine.state import GenerationState
from serving.errors import SetupError
from tests.support.generations import GREEDY, limits

TRAINIUM = "trn1.2xlarge-mistral-7b"


def instant(**fields: int) -> SimulatedRunner:
    return SimulatedRunner(load_profile("instant"), **{"slots": 4, "positions": 512, **fields}, clock=VirtualClock())


def answers(runner: SimulatedRunner, *requests: GenerationRequest, budget: int = 64) -> list[GenerationState]:
    """What the engine makes of `requests` with this runner."""
    scheduler = Scheduler(runner.spec, limits(prefill_budget_tokens=budget), clock=VirtualClock())
    core = EngineCore(runner, scheduler, lock=threading.Lock(), clock=VirtualClock(), observer=Unobserved())
    states = scheduler.submit(requests)
    while scheduler.runnable:
        core.step()
    return states


def ask(*prompt_ids: int, sampling: SamplingParams = GREEDY, max_tokens: int = 400) -> GenerationRequest:
    return GenerationRequest("r", prompt_ids, max_tokens, sampling)


def text(state: GenerationState) -> str:
    tokenizer = Tokenizer.from_file(str(MODEL_FOLDER / "tokenizer.json"))
    return str(tokenizer.decode(state.output_ids, skip_special_tokens=False))


def test_an_answer_depends_on_the_prompt_alone() -> None:
    [alone] = answers(instant(), ask(3, 4, 5))
    crowd = answers(instant(slots=2), ask(9), ask(8, 8), ask(3, 4, 5), ask(7), budget=2)
    assert crowd[2].output_ids == alone.output_ids
    assert crowd[3].output_ids != alone.output_ids


def test_an_answer_is_prose_that_says_what_it_is_and_ends_by_itself() -> None:
    [state] = answers(instant(), ask(3))
    assert text(state).startswith("This answer comes from a simulated model")
    assert text(state).endswith(".")
    assert state.finished is not None
    assert state.finished.reason.value == "stop"


def test_the_profile_says_how_long_answers_are() -> None:
    profile = load_profile("instant")
    lengths = [len(answers(instant(), ask(n))[0].output_ids) for n in range(3, 40)]
    assert min(lengths) >= profile.least_answer_tokens
    assert max(lengths) <= profile.most_answer_tokens + 30  # it ends with a whole sentence
    assert len(set(lengths)) > 10


def test_ignore_eos_and_min_tokens_read_on() -> None:
    runner = instant()
    ended, ignoring, longer = answers(
        runner,
        ask(3),
        GenerationRequest("r", (3,), 400, GREEDY, ignore_eos=True),
        GenerationRequest("r", (3,), 400, GREEDY, min_tokens=200),
    )
    assert len(ignoring.output_ids) == 400
    assert 200 <= len(longer.output_ids) < 400
    assert ignoring.output_ids[: len(ended.output_ids)] == ended.output_ids
    assert "\n" in text(longer)


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(seed=1),
        SamplingParams(seed=1, top_p=0.9, temperature=0.8),
        SamplingParams(seed=1, top_k=5, min_p=0.1),
    ],
    ids=str,
)
def test_ordinary_sampling_says_the_same(sampling: SamplingParams) -> None:
    greedy, sampled = answers(instant(), ask(3), ask(3, sampling=sampling))
    assert sampled.output_ids == greedy.output_ids


def test_a_bias_changes_the_answer() -> None:
    [state] = answers(instant(), ask(3, sampling=SamplingParams(temperature=0, logit_bias={77: 100.0}), max_tokens=5))
    assert state.output_ids == [77] * 5


def test_it_says_that_it_is_simulated() -> None:
    spec = SimulatedRunner(load_profile(TRAINIUM), slots=8, positions=2048).spec
    assert spec.model_id == f"simulated-{TRAINIUM}"
    assert spec.fingerprint == f"simulated-{TRAINIUM}-estimate"
    assert (spec.weight_bits, spec.kv_bits, spec.kv_bytes) == (16, 16, 2**31)
    assert not spec.splits_prompts
    assert spec.longest_prompt == 2047


def test_a_larger_vocabulary_has_no_more_words() -> None:
    runner = instant(vocabulary=49_152)
    assert runner.spec.vocabulary == 49_152
    [state] = answers(runner, ask(3, sampling=SamplingParams(seed=0, temperature=1.5)))
    assert max(state.output_ids) < 2048


def test_a_step_takes_what_the_profile_says() -> None:
    clock = VirtualClock()
    runner = SimulatedRunner(load_profile(TRAINIUM), slots=8, positions=2048, clock=clock)
    runner.run([], [PromptChunk(0, 0, [5] * 100, last=True)])
    assert clock.now() == pytest.approx(0.010 / 0.35)
    before_s = clock.now()
    runner.run([Decode(0, 5, 100)], [])
    assert clock.now() - before_s == pytest.approx(0.0180 / 0.35)
    before_s = clock.now()
    runner.run([Decode(0, 5, 600)], [PromptChunk(1, 0, [5] * 129, last=True), PromptChunk(2, 0, [5] * 8, last=True)])
    assert clock.now() - before_s == pytest.approx((0.0187 + 0.038 + 0.010) / 0.35)


def test_start_up_waits_on_the_clock_stage_by_stage() -> None:
    clock = VirtualClock()
    runner = SimulatedRunner(load_profile(TRAINIUM), slots=8, positions=2048, clock=clock)
    assert clock.now() == 0
    heard: list[tuple[str, float]] = []
    runner.wait_start_up(lambda stage, _seconds: heard.append((stage, clock.now())))
    assert [stage for stage, _ in heard] == ["import", "weights-to-device", "graphs-to-device", "warm-up"]
    assert heard[-1][1] == clock.now() == sum(stage.seconds for stage in load_profile(TRAINIUM).start_up)


@pytest.mark.parametrize(("slots", "positions"), [(33, 2048), (8, 4097)])
def test_sizes_without_a_time_are_refused(slots: int, positions: int) -> None:
    with pytest.raises(SetupError, match="has times for up to"):
        SimulatedRunner(load_profile(TRAINIUM), slots=slots, positions=positions)


def test_reset_forgets_every_prompt() -> None:
    runner = instant()
    runner.run([], [PromptChunk(0, 0, [5, 6], last=True)])
    runner.reset()
    with pytest.raises(ValueError, match="before its prompt is complete"):
        runner.run([Decode(0, 5, 2)], [])


def test_the_committed_tokenizer_is_what_its_script_makes() -> None:
    committed = (MODEL_FOLDER / "tokenizer.json").read_text(encoding="utf-8")
    made: str = build.train().to_str()
    assert json.loads(made)["model"] == json.loads(committed)["model"]
    assert len(committed) < 150_000
