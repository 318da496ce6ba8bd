from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.errors import SetupError
from serving.model.architecture import DecoderShape
from tests.support import checkpoints, gguf_files

gguf = pytest.importorskip("gguf", reason="the extra `cpu` is not installed")

from serving.model.gguf_checkpoint import GgufCheckpoint  # noqa: E402 - after the check that gguf is there
from serving.model.tokenizer import tokenizer, tokenizer_config  # noqa: E402


def test_values_come_out_as_hugging_face_orders_them(tmp_path: Path) -> None:
    tensors = gguf_files.write(tmp_path / "m.gguf")
    checkpoint = GgufCheckpoint(tmp_path / "m.gguf")
    DecoderShape.from_config(checkpoint.config).check(checkpoint.shapes)
    assert set(checkpoint.shapes) == set(tensors)
    for name, values in tensors.items():
        assert np.array_equal(checkpoint.tensor(name), values), name


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0"])
def test_quantised_tensors_are_dequantised_as_the_format_says(tmp_path: Path, kind: str) -> None:
    tensors = gguf_files.write(tmp_path / "m.gguf", kind=kind)
    name = "model.layers.0.mlp.down_proj.weight"
    expected = _by_hand(tensors[name], kind)
    assert np.array_equal(GgufCheckpoint(tmp_path / "m.gguf").tensor(name), expected)
    assert 0 < np.abs(expected - tensors[name]).max() < 0.1


def _by_hand(weight: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    raw = gguf.quantize(weight, gguf.GGMLQuantizationType[kind]).reshape(-1, {"Q4_1": 20, "Q8_0": 34}[kind])
    scale = raw[:, :2].copy().view(np.float16).astype(np.float32)
    if kind == "Q8_0":
        return np.asarray(scale * raw[:, 2:].view(np.int8), np.float32).reshape(weight.shape)
    least = raw[:, 2:4].copy().view(np.float16).astype(np.float32)
    nibbles = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], axis=1)
    return np.asarray(scale * nibbles + least, np.float32).reshape(weight.shape)


def test_the_config_is_hugging_faces(tmp_path: Path) -> None:
    gguf_files.write(tmp_path / "m.gguf")
    config = GgufCheckpoint(tmp_path / "m.gguf").config
    of_the_file = ("architectures", "model_type", "bos_token_id", "eos_token_id", "intermediate_size")
    same = {k: v for k, v in checkpoints.CONFIG.items() if k in config and k not in of_the_file}
    assert {k: config[k] for k in same} == same
    assert (config["bos_token_id"], config["eos_token_id"], config["intermediate_size"]) == (260, 261, 128)


def test_the_tokenizer_splits_digits_and_gives_back_every_text(tmp_path: Path) -> None:
    gguf_files.write(tmp_path / "m.gguf")
    checkpoint = GgufCheckpoint(tmp_path / "m.gguf")
    made = tokenizer(checkpoint)
    assert made.encode("1234").tokens == ["1", "2", "3", "4"]
    for text in ("the the\n", "a  b\tc", "naïve 🤖 日本", "<|im_start|>user"):
        assert made.decode(made.encode(text).ids, skip_special_tokens=False) == text
    assert made.encode("<|im_end|>").ids == [made.token_to_id("<|im_end|>")]
    assert tokenizer_config(checkpoint)["eos_token"] == "<|im_end|>"


@pytest.mark.parametrize(
    ("metadata", "named"),
    [({"general.architecture": "qwen2"}, "qwen2"), ({"tokenizer.ggml.pre": "llama-bpe"}, "llama-bpe")],
)
def test_another_kind_of_file_is_refused_by_name(tmp_path: Path, metadata: dict[str, Any], named: str) -> None:
    gguf_files.write(tmp_path / "m.gguf", metadata=metadata)
    with pytest.raises(SetupError, match=named):
        tokenizer(GgufCheckpoint(tmp_path / "m.gguf"))


@pytest.mark.parametrize("keep", [0, 3, 100, 2000])
def test_a_damaged_file_is_refused(tmp_path: Path, keep: int) -> None:
    gguf_files.write(tmp_path / "m.gguf")
    path = tmp_path / "m.gguf"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SetupError, match=r"is not a GGUF file or is damaged"):
        GgufCheckpoint(path)
