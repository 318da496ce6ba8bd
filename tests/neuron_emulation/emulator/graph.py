"""A stand-in for PyHLO: the library calls `dtype[sizes].Operation(operands, …)`, and this records a graph of nodes.

Recorded, not checked: what an operation means is the interpreter's affair, which compares every result with the shape
and type that the library declared for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from tests.neuron_emulation.emulator.protocol import (
    AliasEntry,
    Aliases,
    PrimitiveType,
    ProgramShape,
    Shape,
)

# The library's name of an element type -> XLA's name and torch's type. Unsigned ones are only ever small.
ELEMENT_TYPES: dict[str, tuple[str, Any]] = {
    "pred": ("PRED", torch.bool),
    "s8": ("S8", torch.int8),
    "s16": ("S16", torch.int16),
    "s32": ("S32", torch.int32),
    "s64": ("S64", torch.int64),
    "u8": ("U8", torch.uint8),
    "u16": ("U16", torch.int32),
    "u32": ("U32", torch.int32),
    "u64": ("U64", torch.int64),
    "f16": ("F16", torch.float16),
    "f32": ("F32", torch.float32),
    "f64": ("F64", torch.float64),
    "bf16": ("BF16", torch.bfloat16),
    "f8e4m3fn": ("F8E4M3FN", torch.float8_e4m3fn),
}


class _MakesNodes:
    """Every capitalised attribute is an operation."""

    scribe: Scribe

    def __getattr__(self, name: str) -> Callable[..., Node]:
        if not name[:1].isupper():
            raise AttributeError(name)
        return lambda *operands, **attributes: self.scribe.record(name, self, operands, attributes)


class ElementType(_MakesNodes):
    """`scribe.f32`: a scalar's shape, and `[sizes]` gives a tensor's."""

    sizes: tuple[int, ...] = ()

    def __init__(self, scribe: Scribe, name: str) -> None:
        self.scribe = scribe
        self.name = name
        primitive, self.torch_dtype = ELEMENT_TYPES[name]
        self.shape_proto = Shape(PrimitiveType.Value(primitive))

    @property
    def dtype(self) -> ElementType:
        return self

    def __getitem__(self, sizes: int | Iterable[int]) -> TensorType:
        return TensorType(self, (sizes,) if isinstance(sizes, int) else tuple(int(size) for size in sizes))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ElementType) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name


class TensorType(_MakesNodes):
    """An element type with sizes."""

    def __init__(self, dtype: ElementType, sizes: tuple[int, ...]) -> None:
        self.dtype = dtype
        self.sizes = sizes
        self.scribe = dtype.scribe

    @property
    def shape_proto(self) -> Shape:
        return Shape(self.dtype.shape_proto.element_type, list(self.sizes))


class TupleType(_MakesNodes):
    """Several tensors as one result."""

    def __init__(self, scribe: Scribe, elements: Iterable[Any]) -> None:
        self.scribe = scribe
        self.elements = [TensorType(element.dtype, tuple(element.sizes)) for element in elements]


class Node:
    """One operation's result; the library calls it a shape and reads `dtype` and `sizes` of it."""

    def __init__(self, scribe: Scribe, operation: str, made_by: Any, operands: Sequence[Node], attributes: Any) -> None:
        self.scribe = scribe
        self.operation = operation
        self.operands = operands
        self.attributes: dict[str, Any] = attributes
        self.elements: list[TensorType] | None = made_by.elements if isinstance(made_by, TupleType) else None
        self.dtype: Any = None if self.elements is not None else made_by.dtype  # Any: None for a tuple only
        self.sizes: tuple[int, ...] = () if self.elements is not None else made_by.sizes
        self.alias: Node | None = None  # the parameter that this output is written into
        self.metadata: dict[str, Any] = {}  # the library notes source lines there

    @property
    def shape_proto(self) -> Shape:
        return Shape(self.dtype.shape_proto.element_type, list(self.sizes))

    def set_alias_to(self, parameter: Node, must: bool = False) -> None:
        self.alias = parameter

    def get_tuple_element(self, index: int) -> TensorType:
        assert self.elements is not None
        return self.elements[index]


class Scribe:
    """One graph in the making; has an attribute for each element type."""

    def __init__(self) -> None:
        self.parameters: dict[int, Node] = {}
        self._depth = 0  # of reduction bodies, whose parameters are not the program's
        for name in ELEMENT_TYPES:
            setattr(self, name, ElementType(self, name))

    def get_dtype(self, name: str) -> ElementType:
        dtype: ElementType = getattr(self, name)
        return dtype

    def tuple(self, *elements: Any) -> TupleType:
        return TupleType(self, elements)

    def record(self, operation: str, made_by: Any, operands: Sequence[Node], attributes: dict[str, Any]) -> Node:
        if "to_apply" in attributes:
            self._depth += 1
            attributes["to_apply"] = _body(attributes["to_apply"](self))
            self._depth -= 1
        if "dimensions" in attributes:  # the library passes iterators, too
            attributes["dimensions"] = list(attributes["dimensions"])
        node = Node(self, operation, made_by, operands, attributes)
        if operation == "Parameter" and self._depth == 0:
            number = attributes["parameter_number"]
            assert number not in self.parameters, f"parameter {number} is declared twice"
            self.parameters[number] = node
        return node


def _body(root: Node) -> str:
    """What a body does: the name of its one operation, which of two parameters it takes, or how it compares."""
    if root.operation == "Parameter":
        return f"take {root.attributes['parameter_number']}"
    if root.operation == "Compare":
        return f"compare {root.attributes['comparison_direction']}"
    return root.operation


class Module:
    """A finished graph: what the library compiles, loads, and hashes to name its file."""

    def __init__(self, scribe: Scribe, root: Node, name: str) -> None:
        self.name = name
        self.root = root
        self.nodes = _in_order(root)
        parameters = [scribe.parameters[number] for number in sorted(scribe.parameters)]
        outputs = root.operands if root.operation == "Tuple" else (root,)
        self.input_output_alias = Aliases(
            [AliasEntry([i], n.alias.attributes["parameter_number"]) for i, n in enumerate(outputs) if n.alias]
        )
        result = root.shape_proto if root.operation != "Tuple" else Shape(PrimitiveType.Value("TUPLE"))
        result.tuple_shapes = [n.shape_proto for n in root.operands] if root.operation == "Tuple" else []
        self.host_program_shape = ProgramShape([p.shape_proto for p in parameters], result)
        self._text = "\n".join([*_lines(self.nodes), repr(self.input_output_alias), repr(self.host_program_shape)])

    def SerializeToString(self) -> bytes:  # noqa: N802 - protocol buffers call it so
        """A text that is the same for the same graph."""
        return self._text.encode()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self._text.encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """For the compiler's processes, which need the text only."""
        return {**self.__dict__, "root": None, "nodes": []}


class HloScribe:
    """`HloScribe(serializer)(function).module_proto`."""

    module_proto: Module

    def __init__(self, serializer: object) -> None:
        pass

    def __call__(self, build: Callable[[Scribe], Node]) -> HloScribe:
        scribe = Scribe()
        root = build(scribe)
        self.module_proto = Module(scribe, root, getattr(build, "__name__", "hlo"))
        modules[self.module_proto.digest] = self.module_proto
        return self


# What was built in this process, by digest: a "compiled" graph is its digest, and loading it looks it up here.
modules: dict[str, Module] = {}


def _in_order(root: Node) -> list[Node]:
    """Every node after its operands."""
    seen: set[int] = set()
    order: list[Node] = []
    stack = [(root, False)]
    while stack:
        node, operands_done = stack.pop()
        if operands_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((operand, False) for operand in node.operands)
    return order


def _lines(nodes: list[Node]) -> Iterable[str]:
    index = {id(node): i for i, node in enumerate(nodes)}
    for node in nodes:
        attributes = sorted((key, _plain(value)) for key, value in node.attributes.items())
        yield f"{node.operation} {node.dtype} {node.sizes} {[index[id(o)] for o in node.operands]} {attributes}"


def _plain(value: Any) -> str:
    """The same text for the same content; of what is large, a checksum."""
    if isinstance(value, dict):
        return str({key: _plain(item) for key, item in value.items()})
    if hasattr(value, "__next__"):  # a layout's order of axes, which its shape says already
        return "iterator"
    if hasattr(value, "tobytes"):
        value = value.tobytes()
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)
