from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from serving.errors import SetupError
from serving.model.safetensors_checkpoint import INDEX, SafetensorsCheckpoint
from tests.support import checkpoints


@pytest.mark.parametrize(("dtype", "shards"), [("F32", 1), ("F16", 1), ("BF16", 3)])
def test_every_value_is_exact(tmp_path: Path, dtype: str, shards: int) -> None:
    stored = checkpoints.write(tmp_path, dtype=dtype, shards=shards)
    checkpoint = SafetensorsCheckpoint(tmp_path)
    assert set(checkpoint.shapes) == set(stored)
    for name, values in stored.items():
        assert np.array_equal(checkpoint.tensor(name), values)


def test_a_second_copy_of_the_weights_is_not_read(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, shards=2)
    (tmp_path / "consolidated.safetensors").write_bytes(b"another layout")
    assert all("consolidated" not in path.name for path in SafetensorsCheckpoint(tmp_path).shards)


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    checkpoints.write(tmp_path)
    shard = tmp_path / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(SetupError, match=r"model.safetensors is truncated or damaged"):
        SafetensorsCheckpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x10\0\0\0\0\0\0\0not json at all!"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes) -> None:
    checkpoints.write(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(SetupError, match=r"model.safetensors"):
        SafetensorsCheckpoint(tmp_path)


_WHOLE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "header",
    [
        [1],
        {"w": {}},
        {"w": [1]},
        {"w": {**_WHOLE, "data_offsets": ["a", "b"]}},
        {"w": {**_WHOLE, "data_offsets": [0, 2, 4]}},
        {"w": {**_WHOLE, "data_offsets": [-8, -4]}},
        {"w": {**_WHOLE, "data_offsets": None}},
        {"w": {**_WHOLE, "shape": "1"}},
        {"w": {**_WHOLE, "shape": [1.5]}},
        {"w": {**_WHOLE, "dtype": None}},
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_one_sentence(tmp_path: Path, header: object) -> None:
    checkpoints.write(tmp_path)
    table = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(table).to_bytes(8, "little") + table + bytes(8))
    with pytest.raises(SetupError, match=r"model.safetensors has a damaged header.*: fetch it again\.$"):
        SafetensorsCheckpoint(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(SetupError, match=r"lacks model-00002-of-00003\.safetensors"):
        SafetensorsCheckpoint(tmp_path)


def test_shards_without_an_index_are_refused(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, shards=2)
    (tmp_path / INDEX).unlink()
    with pytest.raises(SetupError, match="fetch the index too"):
        SafetensorsCheckpoint(tmp_path)


@pytest.mark.parametrize("weight_map", [None, ["a"], {"w": 1, "v": "model.safetensors"}, {"w": ["model.safetensors"]}])
def test_an_index_that_names_no_files_is_one_sentence(tmp_path: Path, weight_map: object) -> None:
    checkpoints.write(tmp_path, shards=2)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(SetupError, match="lacks a weight_map of file names: fetch"):
        SafetensorsCheckpoint(tmp_path)


def test_an_integer_type_is_refused(tmp_path: Path) -> None:
    checkpoints.write(tmp_path)
    checkpoints.write_shard(tmp_path / "model.safetensors", {"x": np.zeros((2, 2), np.int8)}, "I8")
    with pytest.raises(SetupError, match="stored as I8"):
        SafetensorsCheckpoint(tmp_path)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(checkpoints.CONFIG))
    with pytest.raises(SetupError, match="nothing to serve"):
        SafetensorsCheckpoint(tmp_path)
