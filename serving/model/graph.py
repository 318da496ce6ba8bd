"""Build a decoder's OpenVINO graph from a checkpoint: stateful, weights in 8 bits with one scale for each row.

The result is what OpenVINO's own exporters write (inputs input_ids, attention_mask, position_ids, beam_idx; output
logits; one key and one value state a layer), so the paged-attention transformation and other tools accept it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops
from openvino.op.util import Variable, VariableInfo

from serving.model.architecture import EMBEDDING, HEAD, LAST_NORM, DecoderShape
from serving.model.checkpoint import Checkpoint

WEIGHT_BITS = 8
Node = Any  # openvino ships no types


def quantise(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """[rows, columns] -> int8 of the same shape and float16 [rows, 1], symmetric: `weight ≈ int8 × scale`."""
    scale = np.maximum(np.abs(weight).max(-1, keepdims=True) / 127, 1e-7).astype(np.float16)
    rounded = np.rint(weight / scale.astype(np.float32))
    return np.clip(rounded, -127, 127).astype(np.int8), scale


def build(checkpoint: Checkpoint, scratch: Path, *, on_tensor: Callable[[int, int], None]) -> Node:
    """The `openvino.Model` of `checkpoint`, whose weights lie memory-mapped in the file `scratch`.

    At no time is more than one tensor in memory, so the graph of a model larger than memory can be built; keep
    `scratch` until the graph has been saved. `on_tensor(done, total)` is called after each tensor.
    Raises SetupError when the checkpoint is not of a supported shape.
    """
    shape = DecoderShape.from_config(checkpoint.config)
    shape.check(checkpoint.shapes)
    with scratch.open("w+b") as file:
        weights = _Weights(checkpoint, file, on_tensor=on_tensor, total=len(shape.tensors()))
        return _Decoder(shape, weights).model()


class _Weights:
    """Graph constants for named tensors: quantised, written to the scratch file, mapped from there."""

    def __init__(self, checkpoint: Checkpoint, file: Any, *, on_tensor: Callable[[int, int], None], total: int) -> None:
        self._checkpoint, self._file = checkpoint, file
        self._on_tensor, self._done, self._total = on_tensor, 0, total

    def matrix(self, name: str) -> Node:
        """[rows, columns], float32 as the graph sees it, int8 as it is stored."""
        values, scale = quantise(self._read(name))
        return ops.convert(ops.multiply(ops.convert(self._mapped(values), "f16"), ops.constant(scale)), "f32").output(0)

    def vector(self, name: str) -> Node:
        """[columns] in float32."""
        return ops.constant(self._read(name))

    def _read(self, name: str) -> NDArray[np.float32]:
        values = self._checkpoint.tensor(name)
        self._done += 1
        self._on_tensor(self._done, self._total)
        return values

    def _mapped(self, values: NDArray[np.int8]) -> Node:
        offset = self._file.seek(0, 2)
        values.tofile(self._file)
        self._file.flush()
        return ops.constant(np.memmap(self._file, np.int8, "r+", offset, values.shape), shared_memory=True)


class _Decoder:
    """One graph under construction: what every layer shares, and the layers."""

    def __init__(self, shape: DecoderShape, weights: _Weights) -> None:
        self._shape, self._weights = shape, weights
        self._sinks: list[Node] = []
        self._inputs = {
            "input_ids": ops.parameter([-1, -1], np.int64),
            "attention_mask": ops.parameter([-1, -1], np.int64),
            "position_ids": ops.parameter([-1, -1], np.int64),
            "beam_idx": ops.parameter([-1], np.int32),
        }
        for name, node in self._inputs.items():
            node.set_friendly_name(name)
            node.output(0).set_names({name})
        self._batch = ops.gather(ops.shape_of(self._inputs["input_ids"]), np.array([0]), np.int64(0))
        self._mask = self._causal_mask()
        self._cos, self._sin = self._rotations()

    def model(self) -> Node:
        """The whole graph."""
        table = self._weights.matrix(EMBEDDING)
        x = ops.gather(table, self._inputs["input_ids"], np.int64(0))
        for layer in range(self._shape.layers):
            x = self._layer(x, layer)
        x = self._norm(x, LAST_NORM)
        head = table if self._shape.tied else self._weights.matrix(HEAD)
        logits = ops.matmul(x, head, False, True)
        logits.output(0).set_names({"logits"})
        return ov.Model([ops.result(logits)], self._sinks, list(self._inputs.values()), "decoder")

    def _layer(self, x: Node, layer: int) -> Node:
        at = f"model.layers.{layer}."
        h = self._norm(x, f"{at}input_layernorm.weight")
        x = ops.add(x, self._attention(h, at, layer))
        h = self._norm(x, f"{at}post_attention_layernorm.weight")
        gate = ops.swish(self._linear(h, f"{at}mlp.gate_proj.weight"))
        up = self._linear(h, f"{at}mlp.up_proj.weight")
        return ops.add(x, self._linear(ops.multiply(gate, up), f"{at}mlp.down_proj.weight"))

    def _attention(self, h: Node, at: str, layer: int) -> Node:
        shape = self._shape
        query = self._rotate(self._split(self._linear(h, f"{at}self_attn.q_proj.weight"), shape.heads))
        key = self._rotate(self._split(self._linear(h, f"{at}self_attn.k_proj.weight"), shape.kv_heads))
        value = self._split(self._linear(h, f"{at}self_attn.v_proj.weight"), shape.kv_heads)
        attended = ops.scaled_dot_product_attention(
            query,
            self._with_past(key, f"past_key_values.{layer}.key"),
            self._with_past(value, f"past_key_values.{layer}.value"),
            self._mask,
        )
        merged = np.array([0, 0, shape.heads * shape.head_dim])
        rows = ops.reshape(ops.transpose(attended, np.array([0, 2, 1, 3])), merged, special_zero=True)
        return self._linear(rows, f"{at}self_attn.o_proj.weight")

    def _linear(self, x: Node, name: str) -> Node:
        return ops.matmul(x, self._weights.matrix(name), False, True)

    def _norm(self, x: Node, name: str) -> Node:
        mean = ops.reduce_mean(ops.power(x, np.float32(2)), np.array([-1]), keep_dims=True)
        scale = ops.divide(np.float32(1), ops.sqrt(ops.add(mean, np.float32(self._shape.norm_epsilon))))
        return ops.multiply(ops.multiply(x, scale), self._weights.vector(name))

    def _split(self, x: Node, heads: int) -> Node:
        """[batch, time, heads * dim] -> [batch, heads, time, dim]."""
        shape = np.array([0, 0, heads, self._shape.head_dim])
        return ops.transpose(ops.reshape(x, shape, special_zero=True), np.array([0, 2, 1, 3]))

    def _rotate(self, x: Node) -> Node:
        """Rotary positions over halves, as Hugging Face lays them out."""
        half = self._shape.head_dim // 2
        low = ops.slice(x, [0], [half], [1], [3])
        high = ops.slice(x, [half], [2 * half], [1], [3])
        turned = ops.concat([ops.multiply(high, np.float32(-1)), low], -1)
        return ops.add(ops.multiply(x, self._cos), ops.multiply(turned, self._sin))

    def _with_past(self, x: Node, name: str) -> Node:
        """The state `name` and `x` after it, widened so that every query head has a key head."""
        shape = self._shape
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, shape.kv_heads, -1, shape.head_dim])
        info.data_type, info.variable_id = ov.Type.f32, name
        variable = Variable(info)
        empty = ops.concat([self._batch, np.array([shape.kv_heads, 0, shape.head_dim])], 0)
        past = ops.read_value(ops.broadcast(np.float32(0), empty), variable)
        whole = ops.concat([ops.gather(past, self._inputs["beam_idx"], np.int64(0)), x], 2)
        self._sinks.append(ops.assign(whole, variable))
        repeat = np.array([1, 1, shape.heads // shape.kv_heads, 1, 1])
        wide = ops.broadcast(ops.unsqueeze(whole, np.int64(2)), repeat, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(wide, np.array([0, shape.heads, -1, shape.head_dim]), special_zero=True)

    def _causal_mask(self) -> Node:
        length = ops.gather(ops.shape_of(self._inputs["attention_mask"]), np.int64(1), np.int64(0))
        positions = ops.unsqueeze(self._inputs["position_ids"], np.array([1, 3]))
        return ops.less_equal(ops.range(np.int64(0), length, np.int64(1), "i64"), positions)

    def _rotations(self) -> tuple[Node, Node]:
        dim = self._shape.head_dim
        frequency = (1 / self._shape.rope_theta ** (np.arange(0, dim, 2) / dim)).astype(np.float32)
        position = ops.unsqueeze(ops.convert(self._inputs["position_ids"], "f32"), np.array([1, 3]))
        angle = ops.multiply(position, frequency)
        both = ops.concat([angle, angle], -1)
        return ops.cos(both), ops.sin(both)
