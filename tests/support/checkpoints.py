"""Tiny Hugging Face checkpoints with random weights, and a decoder in plain numpy that says what they compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.model.architecture import EMBEDDING, HEAD, DecoderShape
from tests.support import tokenizers

Tensors = dict[str, NDArray[np.float32]]
CONFIG: dict[str, Any] = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 272,
    "max_position_embeddings": 256,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "sliding_window": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def write(
    folder: Path, *, dtype: str = "F32", shards: int = 1, tensors: Tensors | None = None, **config: Any
) -> Tensors:
    """A checkpoint folder with tokenizer; returns its tensors as the stored type rounds them."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**CONFIG, **config}
    tensors = random_tensors(whole) if tensors is None else tensors
    (folder / "config.json").write_text(json.dumps(whole))
    tokenizers.byte_level().save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": tokenizers.TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    stored = {name: _encode(values, dtype) for name, values in tensors.items()}
    if shards == 1:
        write_shard(folder / "model.safetensors", stored, dtype)
    else:
        _write_shards(folder, stored, dtype, shards)
    return {name: _decode(raw, dtype).reshape(tensors[name].shape) for name, raw in stored.items()}


def random_tensors(config: dict[str, Any], *, seed: int = 0) -> Tensors:
    """Weights that keep the values of a decoder near 1."""
    rng = np.random.default_rng(seed)
    shape = DecoderShape.from_config(config)
    return {
        name: (
            rng.normal(1, 0.1, size).astype(np.float32)
            if len(size) == 1
            else rng.normal(0, (1 if name == EMBEDDING else 2 / size[1]) ** 0.5, size).astype(np.float32)
        )
        for name, size in shape.tensors().items()
    }


def write_shard(path: Path, stored: dict[str, NDArray[Any]], dtype: str) -> None:
    """One safetensors file."""
    table, offset = {}, 0
    for name, raw in stored.items():
        table[name] = {"dtype": dtype, "shape": list(raw.shape), "data_offsets": [offset, offset + raw.nbytes]}
        offset += raw.nbytes
    header = json.dumps({"__metadata__": {"format": "pt"}, **table}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for raw in stored.values():
            file.write(raw.tobytes())


def int8_rows(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is left of a matrix after rounding to 8 bits with one float16 scale a row, written out a second time."""
    scale = np.float16(np.max(np.abs(weight), axis=1) / 127).astype(np.float32)[:, None]
    rounded: NDArray[np.float32] = np.round(weight / scale) * scale
    return rounded


def logits(config: dict[str, Any], tensors: Tensors, token_ids: list[int]) -> NDArray[np.float64]:
    """[tokens, vocabulary] in float64, all positions at once: the model by the book."""
    shape = DecoderShape.from_config({**CONFIG, **config})
    weights = {name: w.astype(np.float64) for name, w in tensors.items()}
    count, dim, group = len(token_ids), shape.head_dim, shape.heads // shape.kv_heads
    angle = np.outer(np.arange(count), shape.rope_theta ** (-np.arange(0, dim, 2) / dim))
    turn = np.exp(1j * angle)[:, None]  # a pair of values is a complex number, and a position turns it

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        scale: NDArray[np.float64] = np.sqrt((x**2).mean(-1, keepdims=True) + shape.norm_epsilon)
        return x / scale * weights[f"{name}.weight"]

    def rotated(x: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = (x[..., : dim // 2] + 1j * x[..., dim // 2 :]) * turn
        return np.concatenate([turned.real, turned.imag], -1)

    x = weights[EMBEDDING][token_ids]
    for layer in range(shape.layers):
        at = f"model.layers.{layer}"
        h = norm(x, f"{at}.input_layernorm")
        q, k, v = ((h @ weights[f"{at}.self_attn.{n}_proj.weight"].T).reshape(count, -1, dim) for n in "qkv")
        q, k, v = rotated(q), np.repeat(rotated(k), group, 1), np.repeat(v, group, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / dim**0.5 + np.triu(np.full((count, count), -1e30), 1)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", share / share.sum(-1, keepdims=True), v).reshape(count, -1)
        x = x + mixed @ weights[f"{at}.self_attn.o_proj.weight"].T
        h = norm(x, f"{at}.post_attention_layernorm")
        gate, up = (h @ weights[f"{at}.mlp.{n}_proj.weight"].T for n in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[f"{at}.mlp.down_proj.weight"].T
    head = weights[EMBEDDING] if shape.tied else weights[HEAD]
    result: NDArray[np.float64] = norm(x, "model.norm") @ head.T
    return result


def _write_shards(folder: Path, stored: dict[str, NDArray[Any]], dtype: str, shards: int) -> None:
    names = list(stored)
    weight_map: dict[str, str] = {}
    for number in range(shards):
        part = names[number::shards]
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        write_shard(folder / file, {name: stored[name] for name in part}, dtype)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _encode(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    if dtype == "BF16":  # cut, not rounded: any bf16 value will do
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype({"F16": np.float16, "F32": np.float32}[dtype])


def _decode(raw: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    if dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32)
