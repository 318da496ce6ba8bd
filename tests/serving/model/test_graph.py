from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.model.safetensors_checkpoint import SafetensorsCheckpoint
from tests.support import checkpoints

ov = pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
graph = pytest.importorskip("serving.model.graph")

TOKENS = [5, 17, 3, 99, 42, 42, 7, 250, 1]


def computed(folder: Path, token_ids: list[int]) -> NDArray[np.float32]:
    """[tokens, vocabulary] by the stateful graph, in float32."""
    model = graph.build(SafetensorsCheckpoint(folder), folder / "scratch", on_tensor=lambda *_: None)
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "INFERENCE_NUM_THREADS": "1",
    }
    request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
    ids = np.array([token_ids], np.int64)
    values = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "position_ids": np.arange(ids.shape[1])[None],
        "beam_idx": np.zeros(1, np.int32),
    }
    request.infer(values)
    logits: NDArray[np.float32] = request.get_output_tensor(0).data[0].copy()
    return logits


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tie_word_embeddings": True, "architectures": ["LlamaForCausalLM"]},
        {"num_key_value_heads": 4, "rope_theta": 1e6},
        {"head_dim": 32},
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    ],
    ids=["untied", "tied", "no grouping", "wide heads", "rope as transformers 5 writes it"],
)
def test_the_graph_computes_the_decoder_by_the_book_with_rounded_weights(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    stored = checkpoints.write(tmp_path, **config)
    rounded = {n: checkpoints.int8_rows(w) if w.ndim == 2 else w for n, w in stored.items()}
    theta = {"rope_theta": 5e5} if "rope_parameters" in config else {}
    expected = checkpoints.logits({**config, **theta}, rounded, TOKENS)
    assert np.abs(computed(tmp_path, TOKENS) - expected).max() < 2e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("dtype", "shards"), [("BF16", 1), ("F16", 1), ("F32", 3), ("BF16", 4)])
def test_every_stored_type_and_number_of_shards_gives_the_same_graph(tmp_path: Path, dtype: str, shards: int) -> None:
    stored = checkpoints.write(tmp_path, dtype=dtype, shards=shards)
    rounded = {n: checkpoints.int8_rows(w) if w.ndim == 2 else w for n, w in stored.items()}
    expected = checkpoints.logits({}, rounded, TOKENS)
    assert np.abs(computed(tmp_path, TOKENS) - expected).max() < 2e-4 * np.abs(expected).max()


def test_rounding_a_row_loses_at_most_half_a_step_and_keeps_zeros() -> None:
    weight = np.random.default_rng(1).normal(size=(7, 33)).astype(np.float32)
    weight[3] = 0
    values, scale = graph.quantise(weight)
    assert np.abs(values).max() == 127
    assert np.all(
        np.abs(values * scale.astype(np.float32) - weight) <= scale.astype(np.float32) * 0.5 + 1e-3 * np.abs(weight)
    )
    assert not values[3].any()
