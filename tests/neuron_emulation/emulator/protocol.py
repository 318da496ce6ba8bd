"""Look-alikes of the protocol-buffer messages that the library reads: shapes, programs, aliases, element types."""

from __future__ import annotations

from dataclasses import dataclass, field


class Enumeration:
    """A protocol-buffer enum: its names are attributes with numbers, `Name` and `Value` go between the two."""

    def __init__(self, names: str) -> None:
        self._names = names.split()
        for number, name in enumerate(self._names):
            setattr(self, name, number)

    def __getattr__(self, name: str) -> int:
        raise AttributeError(name)

    def Name(self, number: int) -> str:  # noqa: N802 - protocol buffers call it so
        return self._names[number]

    def Value(self, name: str) -> int:  # noqa: N802 - protocol buffers call it so
        return self._names.index(name)


# XLA's element types, in the order of its own file.
PrimitiveType = Enumeration(
    "PRIMITIVE_TYPE_INVALID PRED S8 S16 S32 S64 U8 U16 U32 U64 F16 F32 F64 TUPLE OPAQUE_TYPE C64 BF16 TOKEN C128 F8E5M2 F8E4M3FN"
)
# The element types of a compiled graph's description.
DataType = Enumeration(
    "UNDEFINED FLOAT UINT8 INT8 UINT16 INT16 INT32 INT64 STRING BOOL FLOAT16 DOUBLE UINT32 UINT64 BFLOAT16"
)


@dataclass
class Shape:
    """Of one tensor, or of a tuple of them."""

    element_type: int
    dimensions: list[int] = field(default_factory=list)
    tuple_shapes: list[Shape] = field(default_factory=list)


@dataclass
class ProgramShape:
    """What goes in and what comes out."""

    parameters: list[Shape]
    result: Shape


@dataclass
class AliasEntry:
    """Output number `output_shape_index[0]` is written into parameter `parameter_number`."""

    output_shape_index: list[int]
    parameter_number: int
    parameter_shape_index: list[int] = field(default_factory=list)


@dataclass
class Aliases:
    """All of one program."""

    entries: list[AliasEntry]
