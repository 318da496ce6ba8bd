"""The runner keeps the library's contract: proved on a fake that has the contract's pitfalls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from serving.engine.request import SamplingParams
from serving.engine.runner import Decode, PromptChunk, RunnerError, RunnerSpec
from serving.engine.runners.neuron.plan import NeuronPlan, Sampling
from serving.engine.runners.neuron.runner import GREEDY, NeuronRunner, SamplingRow, sampling_row
from serving.engine.scheduler import Scheduler, Step
from tests.support.continuous_batching import alone, same_as_far_as_it_went, together, traffic
from tests.support.contract_runner import next_token
from tests.support.neuron_model import ContractModel

VOCABULARY = 211
PLAN = NeuronPlan(4, (16, 32, 64), (8, 16, 48), Sampling.HOST, global_top_k=16)
DEVICE_PLAN = NeuronPlan(4, (16, 32, 64), (8, 16, 48), Sampling.DEVICE, global_top_k=16)


def _spec(plan: NeuronPlan) -> RunnerSpec:
    return RunnerSpec(
        model_id="mistral-contract-fake",
        fingerprint="neuron-contract-fake",
        slots=plan.slots,
        positions=plan.positions,
        longest_prompt=plan.longest_prompt,
        vocabulary=VOCABULARY,
        eos_token_ids=frozenset({0}),
        splits_prompts=False,
        samples_on_device=plan.sampling is Sampling.DEVICE,
        reproducible=False,
        weight_bits=16,
        kv_bits=16,
        kv_bytes=0,
    )


def _runner(plan: NeuronPlan = PLAN) -> tuple[NeuronRunner, ContractModel]:
    model = ContractModel(plan, vocabulary=VOCABULARY)
    return NeuronRunner(model, plan, _spec(plan)), model


def _prompt(slot: int, tokens: Sequence[int]) -> PromptChunk:
    return PromptChunk(slot, 0, tuple(tokens), last=True)


def _picked(runner: NeuronRunner, decodes: Sequence[Decode] = (), prompts: Sequence[PromptChunk] = ()) -> list[int]:
    output = runner.run(decodes, prompts)
    if output.token_ids is not None:
        return [int(token) for token in output.token_ids]
    assert output.logits is not None
    return [int(token) for token in output.logits.argmax(-1)]


@pytest.mark.parametrize("plan", [PLAN, DEVICE_PLAN], ids=["host", "device"])
def test_three_hundred_requests_in_company_get_the_tokens_that_they_get_alone(plan: NeuronPlan) -> None:
    edges = sorted({max(1, b + d) for b in (*plan.prefill_buckets, *plan.decode_buckets) for d in (-1, 0, 1)} | {1, 2})
    edges = [edge for edge in edges if edge <= plan.longest_prompt]
    requests = traffic(300, edges, longest=plan.positions, vocabulary=VOCABULARY, seed=7)
    requests = [request for request in requests if len(request.prompt_ids) <= plan.longest_prompt]
    expected = alone(_runner(plan)[0], requests)
    runner, model = _runner(plan)
    crowd = together(runner, requests, budget_tokens=16, cancelling=0.05, seed=7)
    assert same_as_far_as_it_went(crowd, expected) == len(requests)
    assert crowd.busiest == plan.slots
    assert crowd.cancelled > crowd.cancelled_in_slots > 9
    assert model.overlaps == 0


def _leave_a_live_slot_out(step: Step) -> Step:
    return replace(step, decodes=step.decodes[1:], sampled=step.sampled[1:])


def _repeat_a_position(step: Step) -> Step:
    first, *others = step.decodes
    return replace(step, decodes=[replace(first, position=first.position - 1), *others])


def _take_another_slots_token(step: Step) -> Step:
    first, second, *others = step.decodes
    return replace(step, decodes=[replace(first, slot=second.slot), replace(second, slot=first.slot), *others])


@pytest.mark.parametrize("breaks", [_leave_a_live_slot_out, _repeat_a_position, _take_another_slots_token])
def test_a_scheduler_that_breaks_the_contract_gives_other_tokens(
    breaks: Callable[[Step], Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then only: each of the requests that it touched shows it, so the test above cannot pass by luck."""

    class Broken(Scheduler):
        steps = 0

        def schedule(self) -> Step:
            step = super().schedule()
            self.steps += 1
            return breaks(step) if self.steps % 10 == 0 and len(step.decodes) > 1 else step

    requests = traffic(60, [1, 7, 8, 9, 16], longest=PLAN.positions, vocabulary=VOCABULARY, seed=7)
    expected = alone(_runner()[0], requests)
    monkeypatch.setattr("tests.support.continuous_batching.Scheduler", Broken)
    crowd = together(_runner()[0], requests, budget_tokens=16, cancelling=0.0, seed=7)
    assert same_as_far_as_it_went(crowd, expected) < len(requests)


def test_a_slot_that_is_filled_in_a_step_does_not_disturb_those_that_decode_in_it() -> None:
    runner, _ = _runner()
    first = _picked(runner, prompts=[_prompt(0, [5, 6, 7])])[0]
    second, other = _picked(runner, [Decode(0, first, 3)], [_prompt(1, [9, 9])])
    assert second == next_token([5, 6, 7, first], VOCABULARY)
    assert other == next_token([9, 9], VOCABULARY)
    third, fourth = _picked(runner, [Decode(0, second, 4), Decode(1, other, 2)])
    assert third == next_token([5, 6, 7, first, second], VOCABULARY)
    assert fourth == next_token([9, 9, other], VOCABULARY)


def test_p1_the_fake_corrupts_a_live_slot_that_is_left_out() -> None:
    runner, _ = _runner()
    first, other = _picked(runner, prompts=[_prompt(0, [5, 6]), _prompt(1, [7, 8])])
    _picked(runner, [Decode(1, other, 2)])  # against the contract: slot 0 is live
    assert _picked(runner, [Decode(0, first, 2), Decode(1, 1, 3)])[0] != next_token([5, 6, first], VOCABULARY)


def test_p2_a_prompt_of_one_token_fills_its_slot_and_no_other() -> None:
    runner, model = _runner()
    first = _picked(runner, prompts=[_prompt(0, [5, 6])])[0]
    assert _picked(runner, prompts=[_prompt(1, [7])]) == [next_token([7], VOCABULARY)]
    assert model.calls[-1] == (1, 2)  # two columns: one would have been a decode
    assert _picked(runner, [Decode(0, first, 2), Decode(1, 3, 1)])[0] == next_token([5, 6, first], VOCABULARY)


def test_p3_a_prompt_longer_than_the_largest_bucket_never_reaches_the_library() -> None:
    runner, model = _runner()
    with pytest.raises(RunnerError, match="a prompt of 49 tokens does not fit the largest bucket, 48"):
        runner.run([], [_prompt(0, range(49))])
    assert model.calls == []


def test_p4_a_position_past_the_slots_end_never_reaches_the_library() -> None:
    runner, model = _runner()
    with pytest.raises(RunnerError, match="position 64 is past the slot's last, 63"):
        runner.run([Decode(0, 1, 64)], [])
    assert model.calls == []


@pytest.mark.parametrize("slot", [-1, 4])
def test_p5_a_slot_that_was_not_compiled_never_reaches_the_library(slot: int) -> None:
    runner, model = _runner()
    with pytest.raises(RunnerError, match="there is no slot"):
        runner.run([], [_prompt(slot, [1, 2])])
    with pytest.raises(RunnerError, match="there is no slot"):
        runner.run([Decode(slot, 1, 1)], [])
    assert model.calls == []


def test_p6_a_prompt_is_filled_whole_and_the_runner_says_so() -> None:
    runner, _ = _runner()
    assert not runner.spec.splits_prompts
    for chunk in (PromptChunk(0, 8, (1, 2), last=True), PromptChunk(0, 0, (1, 2), last=False)):
        with pytest.raises(RunnerError, match="fills a prompt whole"):
            runner.run([], [chunk])


def test_a_prompt_that_is_refused_is_refused_before_the_others_decode() -> None:
    runner, model = _runner()
    first = _picked(runner, prompts=[_prompt(0, [5, 6])])[0]
    asked = len(model.calls)
    for bad in (_prompt(1, range(49)), _prompt(4, [1]), PromptChunk(1, 8, (1, 2), last=True)):
        with pytest.raises(RunnerError):
            runner.run([Decode(0, first, 2)], [bad])
    assert len(model.calls) == asked
    assert _picked(runner, [Decode(0, first, 2)]) == [next_token([5, 6, first], VOCABULARY)]


def test_p10_and_p11_every_call_names_its_slots_and_none_twice() -> None:
    runner, model = _runner()
    with pytest.raises(RunnerError, match="twice"):
        runner.run([Decode(0, 1, 1), Decode(0, 2, 1)], [])
    assert model.calls == []


def test_p12_a_prompt_is_not_padded_to_its_bucket() -> None:
    runner, model = _runner()
    assert _picked(runner, prompts=[_prompt(2, [4, 5, 6])]) == [next_token([4, 5, 6], VOCABULARY)]
    assert model.calls == [(1, 3)]


def test_sampling_rows_are_written_by_slot_and_only_when_one_changed() -> None:
    runner, model = _runner(DEVICE_PLAN)
    runner.set_sampling(2, SamplingParams(temperature=0.5, top_k=9, top_p=0.9))
    _picked(runner, prompts=[_prompt(2, [1, 2])])
    assert model.rows == [GREEDY, GREEDY, SamplingRow(9, 0.9, 0.5), GREEDY]
    runner.set_sampling(1, SamplingParams(temperature=0))
    _picked(runner, prompts=[_prompt(1, [1, 2])])
    assert model.rows_writes == 1


@pytest.mark.parametrize(
    ("params", "row"),
    [
        (SamplingParams(temperature=0, top_k=5), GREEDY),  # 0 would divide by zero in the graph
        (SamplingParams(temperature=0.7), SamplingRow(16, 1.0, 0.7)),  # top_k 0 is not "off" there
        (SamplingParams(temperature=0.7, top_k=500, top_p=0.5), SamplingRow(16, 0.5, 0.7)),
    ],
)
def test_a_sampling_row_holds_only_what_the_graph_can_take(params: SamplingParams, row: SamplingRow) -> None:
    assert sampling_row(params, global_top_k=16) == row


@pytest.mark.parametrize("failure", [RuntimeError("NRT_EXEC_BAD"), AssertionError("bucket"), StopIteration()])
def test_after_a_failure_of_the_library_the_replica_has_to_be_replaced(failure: Exception) -> None:
    runner, model = _runner()
    model.fails = failure
    with pytest.raises(RunnerError, match="transformers-neuronx failed"):
        runner.run([], [_prompt(0, [1, 2])])
    with pytest.raises(RunnerError, match="lost until this process ends"):
        runner.reset()


def test_device_sampling_returns_ids_and_host_sampling_logits() -> None:
    assert _runner(DEVICE_PLAN)[0].run([], [_prompt(0, [1, 2])]).token_ids is not None
    logits = _runner(PLAN)[0].run([], [_prompt(0, [1, 2])]).logits
    assert logits is not None
    assert logits.dtype == np.float32
