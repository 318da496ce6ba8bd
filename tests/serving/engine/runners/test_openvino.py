from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.engine.request import SamplingParams
from serving.engine.runner import Decode, PromptChunk, RunnerError
from serving.errors import SetupError
from serving.model.folder import ModelFolder
from serving.model.prepare import prepare
from serving.settings import ModelSettings
from tests.support import checkpoints, continuous_batching

pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
from serving.engine.runners.openvino import OpenVinoRunner
from serving.engine.runners.openvino_passes import Limits, Pass

CONFIG: dict[str, Any] = {"head_dim": 32, "hidden_size": 128}  # paged attention wants heads of 32 at least
EDGES = (1, 2, 3, 31, 32, 33, 47, 48, 49, 63, 64, 65, 66, 95, 96, 97, 127, 128, 129, 159)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    folder = tmp_path_factory.mktemp("tiny")
    checkpoints.write(folder / "tiny", **CONFIG)
    return prepare(ModelSettings(name=str(folder / "tiny"), cache_dir=folder / "cache"))


@pytest.fixture(scope="module")
def runner(tiny: ModelFolder) -> Iterator[OpenVinoRunner]:
    made = OpenVinoRunner(tiny, slots=6, positions=200, precision="batch_invariant", threads=2)
    yield made
    made.close()


def last_logits(runner: OpenVinoRunner, slot: int, ids: list[int]) -> NDArray[np.float32]:
    logits = runner.run([], [PromptChunk(slot, 0, ids, last=True)]).logits
    assert logits is not None
    copy: NDArray[np.float32] = logits.copy()
    return copy


@pytest.mark.parametrize("precision", ["batch_invariant", "fast"])
def test_prefill_and_decode_compute_the_decoder_by_the_book(tiny: ModelFolder, tmp_path: Path, precision: Any) -> None:
    stored = checkpoints.write(tmp_path, **CONFIG)
    rounded = {n: checkpoints.int8_rows(w) if w.ndim == 2 else w for n, w in stored.items()}
    ids = [int(i) for i in np.random.default_rng(0).integers(3, 272, 70)]
    expected = checkpoints.logits(CONFIG, rounded, ids)
    runner = OpenVinoRunner(tiny, slots=2, positions=128, precision=precision, threads=1)
    tolerance = (2e-4 if precision == "batch_invariant" else 5e-2) * np.abs(expected).max()
    assert np.abs(last_logits(runner, 1, ids[:40])[0] - expected[39]).max() < tolerance
    for position in range(40, 70):
        out = runner.run([Decode(1, ids[position], position)], []).logits
        assert out is not None
        assert np.abs(out[0] - expected[position]).max() < tolerance
    runner.close()


def test_rows_come_out_decodes_first_then_the_prompts_that_ended(runner: OpenVinoRunner) -> None:
    prompts = {slot: [3 + slot, 9, 40 + slot] * (slot + 1) for slot in range(4)}
    first = {slot: last_logits(runner, slot, ids) for slot, ids in prompts.items()}
    step = runner.run(
        [Decode(slot, 7, len(prompts[slot])) for slot in (2, 0)],
        [
            PromptChunk(1, 0, prompts[1], last=True),
            PromptChunk(4, 0, prompts[3][:5], last=False),
            PromptChunk(3, 0, prompts[3], last=True),
        ],
    )
    assert step.logits is not None
    assert step.logits.shape == (4, runner.spec.vocabulary)
    assert step.logits.dtype == np.float32
    assert np.array_equal(step.logits[2:], np.concatenate([first[1], first[3]]))
    assert np.array_equal(step.logits[0:1], last_logits_by_decode(runner, prompts[2], 7))
    nothing = runner.run([], [PromptChunk(4, 5, prompts[3][5:8], last=False)])
    assert nothing.logits is not None
    assert nothing.logits.shape == (0, runner.spec.vocabulary)


def last_logits_by_decode(runner: OpenVinoRunner, ids: list[int], token_id: int) -> NDArray[np.float32]:
    last_logits(runner, 5, ids)
    logits = runner.run([Decode(5, token_id, len(ids))], []).logits
    assert logits is not None
    return logits


def test_a_prompt_in_pieces_gives_the_last_bit_of_the_whole(runner: OpenVinoRunner) -> None:
    ids = [int(i) for i in np.random.default_rng(1).integers(3, 272, 131)]
    whole = last_logits(runner, 0, ids)
    for size in (1, 2, 5, 31, 32, 33, 64, 65, 100, 130):
        for start in range(0, len(ids), size):
            last = start + size >= len(ids)
            logits = runner.run([], [PromptChunk(1, start, ids[start : start + size], last=last)]).logits
        assert logits is not None
        assert np.array_equal(logits, whole), size


@pytest.mark.parametrize("budget_tokens", [16, 48, 64, 256])
def test_in_company_every_request_gets_the_tokens_that_it_gets_alone(
    runner: OpenVinoRunner, budget_tokens: int
) -> None:
    requests = continuous_batching.traffic(80, EDGES, longest=200, vocabulary=272, seed=budget_tokens)
    expected = continuous_batching.alone(runner, requests)
    crowd = continuous_batching.together(runner, requests, budget_tokens=budget_tokens, cancelling=0.02, seed=1)
    assert continuous_batching.same_as_far_as_it_went(crowd, expected) == len(requests)
    assert crowd.busiest > 3
    assert crowd.cancelled > 0


def test_a_full_slot_leaves_its_neighbours_alone(runner: OpenVinoRunner) -> None:
    ids = [int(i) for i in np.random.default_rng(2).integers(3, 272, 199)]
    before = last_logits_by_decode(runner, [4, 5, 6], 7).copy()
    last_logits(runner, 4, ids)
    runner.run([Decode(4, 8, 199)], [])
    logits = runner.run([Decode(5, 7, 3)], []).logits
    assert logits is not None
    assert np.array_equal(logits, before)


def test_a_token_beyond_its_slot_is_refused(runner: OpenVinoRunner) -> None:
    with pytest.raises(ValueError, match="a slot holds 200 tokens, this step needs 201"):
        runner.run([Decode(0, 5, 200)], [])
    with pytest.raises(ValueError, match="needs 205"):
        runner.run([], [PromptChunk(0, 195, (5,) * 10, last=True)])
    with pytest.raises(ValueError, match="empty"):
        runner.run([], [])
    with pytest.raises(ValueError, match="empty"):
        runner.run([Decode(0, 5, 3)], [PromptChunk(1, 0, (), last=True)])


def test_after_a_failure_and_a_reset_every_slot_works(tiny: ModelFolder) -> None:
    runner = OpenVinoRunner(tiny, slots=2, positions=64, precision="batch_invariant", threads=1)
    right = last_logits(runner, 0, [5, 6, 7])
    request = runner._request

    class Broken:
        def set_tensor(self, name: str, tensor: object) -> None:
            raise RuntimeError("device lost")

    runner._request = Broken()
    with pytest.raises(RunnerError, match="device lost"):
        last_logits(runner, 0, [5, 6, 7])
    runner.reset()
    assert runner._request is not request
    assert np.array_equal(last_logits(runner, 0, [5, 6, 7]), right)


def test_kernels_that_depend_on_company_are_found_out(tiny: ModelFolder) -> None:
    runner = OpenVinoRunner(tiny, slots=1, positions=64, precision="batch_invariant", threads=1)
    assert runner.spec.reproducible
    infer, calls = runner._infer, iter(range(100))

    def infer_with_company(step: Pass, limits: Limits | None = None) -> NDArray[np.float32]:
        logits = infer(step, limits)
        logits[:] += np.float32(1e-6 * next(calls))
        return logits

    runner._infer = infer_with_company  # type: ignore[method-assign]
    assert not runner._is_batch_invariant()


def test_the_runner_says_what_it_is(tiny: ModelFolder) -> None:
    exact = OpenVinoRunner(tiny, slots=3, positions=100, precision="batch_invariant", threads=1)
    fast = OpenVinoRunner(tiny, slots=3, positions=100, precision="fast", threads=1)
    assert (exact.spec.slots, exact.spec.positions, exact.spec.longest_prompt) == (3, 100, 99)
    assert (exact.spec.kv_bits, exact.spec.weight_bits, exact.spec.vocabulary) == (32, 8, 272)
    assert exact.spec.kv_bytes == (3 * 4 + 1) * 32 * 2 * 2 * 2 * 32 * 4  # blocks, tokens, layers, k and v, heads, dim
    assert (exact.spec.reproducible, fast.spec.reproducible) == (True, False)
    assert exact.spec.splits_prompts
    assert not exact.spec.samples_on_device
    assert "batch_invariant" in exact.spec.fingerprint != fast.spec.fingerprint
    assert "3 slots × 100 positions × 1024 bytes" in exact.describe()
    exact.set_sampling(0, SamplingParams())


def test_what_cannot_be_run_is_refused_in_one_sentence(tiny: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"positions is 300.*at most 256"):
        OpenVinoRunner(tiny, slots=1, positions=300, precision="fast")
    with pytest.raises(SetupError, match="holds no OpenVINO graph"):
        OpenVinoRunner(replace(tiny, ir_xml=None), slots=1, positions=64, precision="fast")
    (tmp_path / "m.xml").write_text("<net/>")
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(SetupError, match=r"OpenVINO cannot run .*m\.xml"):
        OpenVinoRunner(replace(tiny, ir_xml=tmp_path / "m.xml"), slots=1, positions=64, precision="fast")
