"""Read a Hugging Face checkpoint folder with numpy alone, one tensor at a time, whatever the number of shards."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import SetupError

INDEX = "model.safetensors.index.json"
_DTYPES: dict[str, np.dtype[Any]] = {"BF16": np.dtype("<u2"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_LARGEST_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where one tensor lies."""

    shard: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int  # bytes from the start of the file
    end: int


class SafetensorsCheckpoint:
    """`config.json` and one or many `*.safetensors`; bf16, f16 and f32."""

    def __init__(self, folder: Path) -> None:
        """Read the headers. Raises SetupError that names a shard which is missing, truncated or of another format."""
        self.config: Mapping[str, Any] = _object(folder / "config.json")
        self.shards = shards(folder)
        self._stored = {name: stored for shard in self.shards for name, stored in _header(shard).items()}
        self.shapes = {name: stored.shape for name, stored in self._stored.items()}

    def tensor(self, name: str) -> NDArray[np.float32]:
        """The values in float32, which holds bf16 and f16 exactly."""
        stored = self._stored[name]
        dtype = _DTYPES[stored.dtype]
        raw = np.fromfile(stored.shard, dtype, (stored.end - stored.begin) // dtype.itemsize, offset=stored.begin)
        if stored.dtype == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        values: NDArray[np.float32] = raw.astype(np.float32, copy=False).reshape(stored.shape)
        return values


def shards(folder: Path) -> list[Path]:
    """The files that hold the weights: those of the index, else `model.safetensors`, else the only one.

    Publishers put the same weights a second time beside them (`consolidated.safetensors`), so a plain glob is wrong.
    """
    if (folder / INDEX).is_file():
        weight_map = _object(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise SetupError(f"{folder / INDEX} lacks a weight_map of file names: fetch the checkpoint again.")
        found = [folder / name for name in sorted(set(weight_map.values()))]
    elif (folder / "model.safetensors").is_file():
        found = [folder / "model.safetensors"]
    else:
        found = sorted(folder.glob("*.safetensors"))
        if len(found) > 1:
            raise SetupError(f"{folder} holds several .safetensors files but no {INDEX}: fetch the index too.")
    if not found:
        raise SetupError(f"{folder} holds neither *.safetensors nor an OpenVINO graph (*.xml): nothing to serve.")
    if missing := [p.name for p in found if not p.is_file()]:
        raise SetupError(f"{folder} lacks {', '.join(missing)}, which {INDEX} names: fetch the checkpoint again.")
    return found


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be read as JSON ({error}): fetch the checkpoint again.") from error
    if not isinstance(content, dict):
        raise SetupError(f"{path} must hold a JSON object: fetch the checkpoint again.")
    return content


def _header(shard: Path) -> dict[str, _Stored]:
    """The shard's table of contents: 8 bytes of length, JSON, then the data."""
    size = shard.stat().st_size
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(size - 8, _LARGEST_HEADER_BYTES):
            raise SetupError(f"{shard} is not a safetensors file or is truncated: fetch it again.")
        try:
            table = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise SetupError(f"{shard} has a damaged header: fetch it again.") from error
    if not isinstance(table, dict):
        raise SetupError(f"{shard} has a damaged header: fetch it again.")
    table.pop("__metadata__", None)
    return {name: _stored(shard, name, entry, 8 + length, size) for name, entry in table.items()}


def _stored(shard: Path, name: str, entry: Any, data: int, size: int) -> _Stored:
    """One entry of the table, whose data begins at byte `data` of a shard of `size` bytes."""
    fields = entry if isinstance(entry, dict) else {}
    dtype, offsets, shape = fields.get("dtype"), _sizes(fields.get("data_offsets")), _sizes(fields.get("shape"))
    if not isinstance(dtype, str) or shape is None or offsets is None or len(offsets) != 2:
        raise SetupError(f"{shard} has a damaged header at {name}: fetch it again.")
    if dtype not in _DTYPES:
        raise SetupError(f"{shard}: {name} is stored as {dtype}; only BF16, F16 and F32 are supported.")
    begin, end = (data + offset for offset in offsets)
    if end > size or end - begin != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise SetupError(f"{shard} is truncated or damaged at {name}: fetch it again.")
    return _Stored(shard, dtype, shape, begin, end)


def _sizes(entry: object) -> tuple[int, ...] | None:
    """A list of whole numbers that count something; None for anything else."""
    if isinstance(entry, list) and all(type(number) is int and number >= 0 for number in entry):
        return tuple(entry)
    return None
