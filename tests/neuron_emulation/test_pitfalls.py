"""What the contract says of the library is what the library does: the pitfalls that the contract fake imitates.

Each test calls the model past our runner, which would have refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.engine.runners.neuron import library
from serving.engine.runners.neuron.plan import ModelShape, NeuronPlan, PlanError, Sampling
from serving.engine.runners.neuron.runner import GREEDY, SamplingRow
from tests.support import checkpoints

if TYPE_CHECKING:
    from tests.neuron_emulation.emulator.device import Device

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

CONFIG: dict[str, Any] = checkpoints.CONFIG | {"rope_theta": 1_000_000.0}
SHAPE = ModelShape.from_config(CONFIG)
PLAN = NeuronPlan(4, (16, 32), (8, 16), Sampling.HOST, amp="f32")
DEVICE_PLAN = NeuronPlan(4, (16, 32), (8, 16), Sampling.DEVICE, global_top_k=16, amp="f32")
Logits = NDArray[np.generic]
Call = Callable[..., Logits]


def _load(checkpoint: Path, plan: NeuronPlan, *, graphs: Path | None = None) -> library.LibraryModel:
    return library.load_model(checkpoint, plan, SHAPE, graphs=graphs, stage=nullcontext)


@pytest.fixture(scope="module")
def model(checkpoint: Path, device: Device) -> library.LibraryModel:
    return _load(checkpoint, PLAN)


@pytest.fixture
def call(model: library.LibraryModel) -> Call:
    def forward(tokens: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], slots: Sequence[int]) -> Logits:
        return model.forward(np.array(tokens, np.int64), np.array(positions, np.int64), np.array(slots, np.int64))

    return forward


def _prefill(call: Call, tokens: Sequence[int], slot: int) -> Logits:
    return call([tokens], [list(range(len(tokens)))], [slot])


def _same(a: Logits, b: Logits) -> bool:
    return bool(np.allclose(a, b, atol=1e-4))


def test_p1_a_live_slot_that_is_left_out_of_a_decode_is_corrupted(call: Call) -> None:
    def decode_slot_0() -> Logits:
        logits: Logits = call([[9], [9]], [[3], [2]], [0, 1])[:1]
        return logits

    for slot, prompt in ((0, [5, 6, 7]), (1, [8, 9])):
        _prefill(call, prompt, slot)
    right = decode_slot_0()
    call([[4]], [[2]], [1])
    assert not _same(decode_slot_0(), right)


def test_p2_one_column_is_a_decode_and_two_at_position_0_are_a_prompt_of_one_token(call: Call) -> None:
    right = _prefill(call, [5, 6, 7], 0)
    decoded = call([[9]], [[3]], [0])[0]
    _prefill(call, [5, 6, 7], 0)
    alone = call([[7, 7]], [[0, 0]], [1])
    assert _same(call([[9]], [[3]], [0])[0], decoded)
    _prefill(call, [5, 6, 7], 0)
    assert _same(call([[7]], [[0]], [1])[0], alone[0])  # right for itself
    assert not _same(call([[9]], [[3]], [0])[0], decoded)  # and slot 0 is lost
    assert right.shape == (1, CONFIG["vocab_size"])


def test_p3_a_prompt_longer_than_the_largest_bucket_fails_an_assertion(call: Call) -> None:
    with pytest.raises(AssertionError):
        _prefill(call, range(3, 20), 0)


def test_p4_a_position_past_the_end_is_a_bare_stop_iteration(call: Call) -> None:
    with pytest.raises(StopIteration):
        call([[3]], [[32]], [0])


def test_p5_a_slot_that_does_not_exist_is_written_in_silence(call: Call) -> None:
    assert _prefill(call, [5, 6, 7], 4).shape == (1, CONFIG["vocab_size"])


def test_p6_a_prompt_cannot_go_on_from_a_position(call: Call) -> None:
    _prefill(call, [5, 6, 7], 0)
    with pytest.raises(AttributeError):
        call([[8, 9]], [[3, 4]], [0])


def test_p11_a_slot_twice_in_one_call_is_no_error(call: Call) -> None:
    _prefill(call, [5, 6, 7], 0)
    assert len(call([[3], [4]], [[3], [3]], [0, 0])) == 2


def test_p12_padding_to_the_bucket_with_increasing_positions_gives_the_paddings_logits(call: Call) -> None:
    right = _prefill(call, [5, 6, 7], 0)
    assert _same(call([[5, 6, 7, 0, 0]], [[0, 1, 2, 0, 0]], [0]), right)
    assert not _same(call([[5, 6, 7, 0, 0]], [[0, 1, 2, 3, 4]], [0]), right)


def test_a_slot_is_reused_without_cleaning(call: Call) -> None:
    right = _prefill(call, [5, 6, 7], 2)
    _prefill(call, list(range(20, 36)), 2)
    assert _same(_prefill(call, [5, 6, 7], 2), right)


def test_p7_a_window_shorter_than_a_bucket_does_not_build(tmp_path: Path, device: Device) -> None:
    checkpoints.write(tmp_path / "v01", rope_theta=1_000_000.0, sliding_window=16)
    with pytest.raises(AssertionError):
        _load(tmp_path / "v01", PLAN)


def test_p9_a_rope_theta_that_the_library_reads_otherwise_is_refused(
    checkpoint: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ModelShape.from_config(CONFIG | {"rope_theta": 10_000.0})
    with pytest.raises(PlanError, match=r"library reads rope_theta 1e\+06, the checkpoint says 10000"):
        library.load_model(checkpoint, PLAN, other, graphs=None, stage=nullcontext)


def test_p13_rows_by_slot_need_dynamic_and_ours_are(device: Device) -> None:
    import transformers_neuronx.config as config

    built = library.generation_config(config, DEVICE_PLAN, [GREEDY] * 4)
    assert built.per_batch_line
    assert built.dynamic


def test_p14_the_compilers_number_is_set(device: Device) -> None:
    import transformers_neuronx.config as config

    assert library.neuron_config(config, PLAN).compilation_worker_count == 1


def test_p15_graphs_of_another_plan_are_not_found(checkpoint: Path, device: Device, tmp_path: Path) -> None:
    library.compile_graphs(checkpoint, PLAN, SHAPE, into=tmp_path, stage=nullcontext)
    assert len(list(tmp_path.glob("*.neff"))) == 4
    _load(checkpoint, PLAN, graphs=tmp_path)
    with pytest.raises(FileNotFoundError):
        _load(checkpoint, NeuronPlan(4, (24, 32), (8, 16), Sampling.HOST, amp="f32"), graphs=tmp_path)


def test_p19_every_model_gets_a_config_object_of_its_own(device: Device) -> None:
    import transformers_neuronx.config as config

    first, second = library.neuron_config(config, DEVICE_PLAN), library.neuron_config(config, DEVICE_PLAN)
    assert first is not second
    assert first.on_device_generation is not second.on_device_generation


def test_p22_and_p24_it_is_always_continuous_batching_and_never_tiled(device: Device) -> None:
    import transformers_neuronx.config as config

    built = library.neuron_config(config, PLAN)
    assert built.continuous_batching.batch_size_for_shared_caches == 4
    assert not built.weight_tiling


def test_sampling_rows_are_by_slot(checkpoint: Path, device: Device) -> None:
    """A row of top_k 1 is greedy whatever its temperature; others draw."""
    model = _load(checkpoint, DEVICE_PLAN)
    model.set_sampling_rows([GREEDY, GREEDY, SamplingRow(16, 1.0, 50.0), GREEDY])
    prompt, positions = np.array([[5, 6, 7]], np.int64), np.array([[0, 1, 2]], np.int64)

    def drawn(slot: int) -> set[int]:
        return {int(model.forward(prompt, positions, np.array([slot], np.int64))[0, 0]) for _ in range(12)}

    assert len(drawn(1)) == 1
    assert len(drawn(2)) > 3
