"""Operations that move elements: each takes a node and returns what one rank does with its tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.neuron_emulation.emulator.graph import Node

Local = Callable[..., Any]


def broadcast(node: Node) -> Local:
    axes = node.attributes["dimensions"]

    def apply(x: Any) -> Any:
        sizes = [1] * len(node.sizes)
        for axis, size in zip(axes, x.shape, strict=True):
            sizes[axis] = size
        return x.reshape(sizes).expand(node.sizes)

    return apply


def slice_(node: Node) -> Local:
    parts = tuple(slice(d["start"], d["limit"], d["stride"]) for d in node.attributes["slice_dimensions"])
    return lambda x: x[parts]


def dynamic_slice(node: Node) -> Local:
    """XLA moves a start that would run past the end back."""
    sizes = node.attributes["dynamic_slice_sizes"]

    def apply(x: Any, *starts: Any) -> Any:
        at = [max(0, min(int(s), x.shape[axis] - sizes[axis])) for axis, s in enumerate(starts)]
        return x[tuple(slice(start, start + size) for start, size in zip(at, sizes, strict=True))]

    return apply


def pad(node: Node) -> Local:
    lows = [dimension["edge_padding_low"] for dimension in node.attributes["padding_config"]["dimensions"]]

    def apply(x: Any, value: Any) -> Any:
        padded = value.reshape([1] * x.dim()).expand(node.sizes).clone()
        padded[tuple(slice(low, low + size) for low, size in zip(lows, x.shape, strict=True))] = x
        return padded

    return apply


def gather(node: Node) -> Local:
    """The two forms that the library uses: whole slices along one axis, and single elements by all axes."""
    numbers, slice_sizes = node.attributes["gather_dimension_numbers"], node.attributes["gather_slice_sizes"]
    axes, vector_axis = numbers["start_index_map"], numbers["index_vector_dim"]

    def apply(x: Any, indices: Any) -> Any:
        if indices.dim() == vector_axis:
            indices = indices.unsqueeze(-1)
        assert vector_axis == indices.dim() - 1
        if len(axes) == 1 and len(numbers["collapsed_slice_dims"]) == 1 and indices.dim() == 2:
            return _slices(x, indices[:, 0], axes[0], numbers["offset_dims"])
        assert len(axes) == x.dim()
        assert all(size == 1 for size in slice_sizes)
        by_axis = {axis: indices[..., i].long().clamp(0, x.shape[axis] - 1) for i, axis in enumerate(axes)}
        return x[tuple(by_axis[axis] for axis in range(x.dim()))].reshape(node.sizes)

    return apply


def _slices(x: Any, indices: Any, axis: int, offset_axes: list[int]) -> Any:
    picked = x.index_select(axis, indices.long().clamp(0, x.shape[axis] - 1))
    batch_axis = next(place for place in range(picked.dim()) if place not in offset_axes)
    return picked.movedim(axis, batch_axis)


def scatter(node: Node) -> Local:
    """Rows by number. XLA drops updates out of bounds."""
    numbers = node.attributes["scatter_dimension_numbers"]
    assert node.attributes["to_apply"] == "take 1"
    assert list(numbers["inserted_window_dims"]) == [0]

    def apply(x: Any, indices: Any, updates: Any) -> Any:
        by_column = indices.dim() == 2 and numbers["index_vector_dim"] == 1
        rows = (indices[:, 0] if by_column else indices.reshape(-1)).long()
        inside = (rows >= 0) & (rows < x.shape[0])
        written = x.clone()
        written[rows[inside]] = updates[inside].to(x.dtype)
        return written

    return apply
