"""What our code hands to the vendor's library, held on modules that stand in for it: no chip, no torch, in CI.

That the library itself does what the contract says is shown by tests/neuron_emulation.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from serving.engine.runners.neuron import library
from serving.engine.runners.neuron.plan import ModelShape, NeuronPlan, PlanError, Sampling
from serving.engine.runners.neuron.runner import GREEDY
from tests.support import checkpoints

PLAN = NeuronPlan(4, (16, 32), (8, 16), Sampling.HOST, amp="f32")
DEVICE_PLAN = NeuronPlan(4, (16, 32), (8, 16), Sampling.DEVICE, global_top_k=16, amp="f32", compile_workers=2)
SHAPE = ModelShape.from_config(checkpoints.CONFIG)


class Keywords(SimpleNamespace):
    """One of the library's configuration objects: what it was made with, and nothing else."""


class FakeModel:
    """What `from_pretrained` gives, as far as our code looks at it; notes the order of the calls."""

    def __init__(self, **made_with: Any) -> None:
        self.made_with = made_with
        self.config = SimpleNamespace(rope_theta=checkpoints.CONFIG["rope_theta"])
        self.calls: list[str] = []

    def load(self, folder: str) -> None:
        self.calls.append(f"load {folder}")

    def load_weights(self) -> None:
        self.calls.append("load_weights")

    def compile(self) -> None:
        self.calls.append("compile")

    def setup(self) -> None:
        self.calls.append("setup")

    def to_neuron(self) -> None:
        self.load_weights()
        self.compile()
        self.setup()

    def cpu_compile(self) -> None:
        self.calls.append("cpu_compile")

    def save(self, folder: str) -> None:
        self.calls.append(f"save {folder}")


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[FakeModel]:
    """Stand-ins for the library's modules; the models that were opened with them."""
    opened: list[FakeModel] = []

    class MistralForSampling:
        @staticmethod
        def from_pretrained(path: str, **made_with: Any) -> FakeModel:
            opened.append(FakeModel(path=path, **made_with))
            return opened[-1]

    _install(monkeypatch, "transformers_neuronx", MistralForSampling=MistralForSampling)
    names = ("NeuronConfig", "GenerationConfig", "ContinuousBatchingConfig")
    _install(monkeypatch, "transformers_neuronx.config", **dict.fromkeys(names, Keywords))
    _install(monkeypatch, "torch")
    return opened


def _install(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    module = ModuleType(name)
    for member, value in members.items():
        setattr(module, member, value)
    monkeypatch.setitem(sys.modules, name, module)


def _loaded(models: Sequence[FakeModel], plan: NeuronPlan = PLAN, graphs: Path | None = None) -> FakeModel:
    library.load_model(Path("checkpoint"), plan, SHAPE, graphs=graphs, stage=nullcontext)
    return models[-1]


def test_the_shape_of_the_graphs_is_the_plans(models: list[FakeModel]) -> None:
    made = _loaded(models).made_with
    neuron = made.pop("neuron_config")
    assert made == {
        "path": "checkpoint",
        "n_positions": [16, 32],
        "context_length_estimate": [8, 16],
        "batch_size": 4,
        "amp": "f32",
        "tp_degree": 2,
    }
    assert (neuron.attention_layout, neuron.collectives_layout, neuron.fuse_qkv) == ("BSH", "BSH", True)
    assert neuron.on_device_generation is None


def test_compiled_graphs_are_named_before_the_device_is_touched_and_not_at_all_without_any(
    models: list[FakeModel],
) -> None:
    assert _loaded(models, graphs=Path("graphs")).calls == ["load graphs", "load_weights", "compile", "setup"]
    assert _loaded(models).calls == ["load_weights", "compile", "setup"]


def test_a_compilation_needs_no_chip_and_is_written_down(models: list[FakeModel]) -> None:
    library.compile_graphs(Path("checkpoint"), PLAN, SHAPE, into=Path("made"), stage=nullcontext)
    assert models[-1].calls == ["cpu_compile", "save made"]


def test_p9_a_rope_theta_that_the_library_reads_otherwise_is_refused(
    models: list[FakeModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(checkpoints.CONFIG, "rope_theta", 5e5)
    with pytest.raises(PlanError, match=r"library reads rope_theta 500000, the checkpoint says 10000.*\(P9\)"):
        _loaded(models)


def test_p13_rows_by_slot_are_always_dynamic(models: list[FakeModel]) -> None:
    sampling = _loaded(models, DEVICE_PLAN).made_with["neuron_config"].on_device_generation
    assert sampling.per_batch_line
    assert sampling.dynamic
    assert (sampling.top_k, sampling.top_p, sampling.temperature) == ([1] * 4, [1.0] * 4, [1.0] * 4)
    assert sampling.global_top_k == 16


def test_p14_the_number_of_compilers_is_always_set(models: list[FakeModel]) -> None:
    assert _loaded(models).made_with["neuron_config"].compilation_worker_count == 1
    assert _loaded(models, DEVICE_PLAN).made_with["neuron_config"].compilation_worker_count == 2


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (ModuleType("transformers_neuronx"), "the public index's empty placeholder"),
        (None, "cannot be imported .* needs the Neuron image"),
    ],
)
def test_p18_a_placeholder_or_nothing_under_the_librarys_name_is_told_apart(
    module: ModuleType | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers_neuronx", module)
    with pytest.raises(PlanError, match=sentence):
        library.import_library()


def test_p19_no_two_models_and_no_two_updates_share_a_configuration_object(models: list[FakeModel]) -> None:
    first, second = (_loaded(models, DEVICE_PLAN).made_with["neuron_config"] for _ in range(2))
    assert first is not second
    assert first.on_device_generation is not second.on_device_generation
    assert first.continuous_batching is not second.continuous_batching
    rows, config = [GREEDY] * 4, sys.modules["transformers_neuronx.config"]
    assert library.generation_config(config, PLAN, rows) is not library.generation_config(config, PLAN, rows)


def test_p22_and_p24_it_is_always_continuous_batching_and_never_tiled(models: list[FakeModel]) -> None:
    made = _loaded(models).made_with["neuron_config"]
    assert made.continuous_batching.max_num_seqs == 4
    assert not {"weight_tiling", "cache_layout", "kv_cache_quant", "sequence_parallel_norm"} & set(vars(made))
