"""Evaluate a recorded graph with torch on CPU, all ranks in lockstep.

A value is a list with one tensor for each rank. Collectives read across the list; everything else maps over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from tests.neuron_emulation.emulator import indexing
from tests.neuron_emulation.emulator.custom_calls import CUSTOM_CALLS
from tests.neuron_emulation.emulator.graph import Module, Node

Ranks = list[Any]  # a tensor for each rank; of a tuple, a list of those
Local = Callable[..., Any]

_ELEMENTWISE: dict[str, Local] = {
    "Exp": torch.exp,
    "Rsqrt": torch.rsqrt,
    "Sqrt": torch.sqrt,
    "Log": torch.log,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Tanh": torch.tanh,
    "Logistic": torch.sigmoid,
    "Floor": torch.floor,
    "Abs": torch.abs,
    "Not": torch.logical_not,
    "Add": torch.add,
    "Subtract": torch.subtract,
    "Multiply": torch.multiply,
    "Maximum": torch.maximum,
    "Minimum": torch.minimum,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Remainder": torch.fmod,
    "Select": torch.where,
    "Divide": lambda x, y: torch.div(x, y, rounding_mode=None if x.is_floating_point() else "trunc"),
    "Clamp": lambda low, x, high: torch.minimum(torch.maximum(x, low), high),
}
_COMPARISONS: dict[str, Local] = {
    "EQ": torch.eq,
    "NE": torch.ne,
    "LT": torch.lt,
    "LE": torch.le,
    "GT": torch.gt,
    "GE": torch.ge,
}


def run(module: Module, inputs: Sequence[Ranks], *, ranks: int) -> list[Ranks]:
    """`inputs`: a value for each parameter. Returns a value for each output."""
    values: dict[int, Any] = {}
    uses = _uses(module)
    for node in module.nodes:
        values[id(node)] = _evaluate(node, [values[id(operand)] for operand in node.operands], inputs, ranks)
        _check_declared(node, values[id(node)])
        for operand in node.operands:
            uses[id(operand)] -= 1
            if uses[id(operand)] == 0:
                del values[id(operand)]
    result = values[id(module.root)]
    return result if module.root.operation == "Tuple" else [result]


def _uses(module: Module) -> dict[int, int]:
    uses = {id(node): 0 for node in module.nodes}
    for node in module.nodes:
        for operand in node.operands:
            uses[id(operand)] += 1
    return uses


def _check_declared(node: Node, value: Ranks) -> None:
    """Hold our reading of an operation to the shape and type that the library expects of it."""
    if node.dtype is None:
        return
    for tensor in value:
        assert tuple(tensor.shape) == tuple(node.sizes), (node.operation, tensor.shape, node.sizes, node.attributes)
        assert tensor.dtype == node.dtype.torch_dtype, (node.operation, tensor.dtype, node.dtype)


def _evaluate(node: Node, operands: list[Any], inputs: Sequence[Ranks], ranks: int) -> Any:
    attributes, operation = node.attributes, node.operation
    if operation == "Parameter":
        return [tensor.as_subclass(torch.Tensor) for tensor in inputs[attributes["parameter_number"]]]
    if operation == "Tuple":
        return operands
    if operation == "GetTupleElement":
        return operands[0][attributes["tuple_index"]]
    if operation in _ACROSS_RANKS:
        return _ACROSS_RANKS[operation](node, operands, ranks)
    if operation in _CREATED:
        return [_CREATED[operation](node)] * ranks
    local = _ELEMENTWISE.get(operation) or _local(node)
    return [local(*(operand[rank] for operand in operands)) for rank in range(ranks)]


def _local(node: Node) -> Local:
    """What one rank does by itself. Raises NotImplementedError for an operation that no graph of ours has used yet."""
    if node.operation == "Compare":
        return _COMPARISONS[node.attributes["comparison_direction"]]
    if node.operation not in _LOCAL:
        raise NotImplementedError(node.operation)
    return _LOCAL[node.operation](node)


def _constant(node: Node) -> Any:
    dtype = node.dtype.torch_dtype
    if "literal" not in node.attributes:
        return torch.full(node.sizes, node.attributes["constant_value"], dtype=dtype)
    (content,) = (value for key, value in node.attributes["literal"].items() if key != "shape")
    if isinstance(content, bytes):
        return torch.frombuffer(bytearray(content), dtype=dtype).reshape(node.sizes)
    return torch.as_tensor(content).to(dtype).reshape(node.sizes)


def _iota(node: Node) -> Any:
    (axis,) = node.attributes["dimensions"]
    sizes = [1] * len(node.sizes)
    sizes[axis] = node.sizes[axis]
    return torch.arange(sizes[axis]).to(node.dtype.torch_dtype).reshape(sizes).expand(node.sizes)


def _random(node: Node) -> Any:
    """All ranks draw the same number; whether the chip's do is not known."""
    return torch.rand(node.sizes).to(node.dtype.torch_dtype)


def _reduce(node: Node) -> Local:
    axes, body = node.attributes["dimensions"], node.attributes["to_apply"]
    if body == "Add":
        return lambda x, _: (x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).sum(axes).to(x.dtype)
    return {"Maximum": lambda x, _: x.amax(axes), "Minimum": lambda x, _: x.amin(axes)}[body]


def _dot(node: Node) -> Local:
    numbers, result = node.attributes["dot_dimension_numbers"], node.dtype.torch_dtype
    left_batch, right_batch, left_sum, right_sum = (
        list(numbers.get(f"{side}_{kind}_dimensions") or ())
        for kind, side in (("batch", "lhs"), ("batch", "rhs"), ("contracting", "lhs"), ("contracting", "rhs"))
    )

    def dot(x: Any, y: Any) -> Any:
        left, right = list(range(x.dim())), [x.dim() + axis for axis in range(y.dim())]
        for of_left, of_right in zip(left_batch + left_sum, right_batch + right_sum, strict=True):
            right[of_right] = left[of_left]
        out = [axis for axis in left if axis in left_batch]
        out = [left[axis] for axis in left_batch] + [a for a in left if a not in left_batch + left_sum]
        out += [right[axis] for axis in range(y.dim()) if axis not in right_batch + right_sum]
        wide = torch.float32 if result in (torch.bfloat16, torch.float16) else result
        if not wide.is_floating_point:
            wide = torch.float64
        return torch.einsum(x.to(wide), left, y.to(wide), right, out).to(result)

    return dot


def _all_reduce(node: Node, operands: list[Ranks], ranks: int) -> Ranks:
    assert node.attributes["to_apply"] == "Add"
    return _by_group(node, operands, ranks, lambda tensors: torch.stack(tensors).sum(0).to(tensors[0].dtype))


def _all_gather(node: Node, operands: list[Ranks], ranks: int) -> Ranks:
    (axis,) = node.attributes["dimensions"]
    return _by_group(node, operands, ranks, lambda tensors: torch.cat(tensors, dim=axis))


def _by_group(node: Node, operands: list[Ranks], ranks: int, combine: Callable[[list[Any]], Any]) -> Ranks:
    result: Ranks = [None] * ranks
    for group in node.attributes["replica_groups"]:
        combined = combine([operands[0][rank] for rank in group])
        for rank in group:
            result[rank] = combined
    return result


def _sort(node: Node, operands: list[Ranks], ranks: int) -> Any:
    """By the first operand; the others follow it."""
    (axis,) = node.attributes["dimensions"]
    descending = node.attributes["to_apply"] == "compare GT"
    orders = [torch.argsort(keys, dim=axis, descending=descending, stable=True) for keys in operands[0]]
    tuples = [[torch.gather(operand[rank], axis, orders[rank]) for rank in range(ranks)] for operand in operands]
    return tuples if node.elements is not None else tuples[0]


def _custom_call(node: Node, operands: list[Ranks], ranks: int) -> Any:
    call = CUSTOM_CALLS[node.attributes["custom_call_target"]](node)
    results = [call(*(operand[rank] for operand in operands)) for rank in range(ranks)]
    if node.elements is None:
        return results
    return [[result[i] for result in results] for i in range(len(node.elements))]


_CREATED: dict[str, Callable[[Node], Any]] = {"Constant": _constant, "Iota": _iota, "Rng": _random}
_ACROSS_RANKS: dict[str, Callable[[Node, list[Ranks], int], Any]] = {
    "AllReduce": _all_reduce,
    "AllGather": _all_gather,
    "Sort": _sort,
    "CustomCall": _custom_call,
}
_LOCAL: dict[str, Callable[[Node], Local]] = {
    "Broadcast": indexing.broadcast,
    "Reshape": lambda node: lambda x: x.reshape(node.sizes),
    "Transpose": lambda node: lambda x: x.permute(*node.attributes["dimensions"]),
    "Convert": lambda node: lambda x: x.to(node.dtype.torch_dtype),
    "Concatenate": lambda node: lambda *xs: torch.cat(xs, dim=node.attributes["dimensions"][0]),
    "Slice": indexing.slice_,
    "DynamicSlice": indexing.dynamic_slice,
    "Pad": indexing.pad,
    "Gather": indexing.gather,
    "Scatter": indexing.scatter,
    "Reduce": _reduce,
    "Dot": _dot,
}
