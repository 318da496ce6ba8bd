"""Preparing a model needs memory for one tensor at a time, so that a 7B model is built on a small machine."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from serving.model.architecture import DecoderShape
from tests.support import checkpoints, child

pytest.importorskip("openvino", reason="the extra `cpu` is not installed")

PROJECT = Path(__file__).resolve().parents[3]
SIZES = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "num_key_value_heads": 8}
LAYERS = 12
MOST_LAYERS = 3  # of float32 at once; it takes less than half, and all layers in int8 would be 3 as well
POLL_S = 0.005
# Importing and the shape of the graph are no matter of the weights: memory is counted from the first tensor on.
PREPARES = """
import sys
from pathlib import Path
import openvino
from serving.model import graph, safetensors_checkpoint
from serving.model.prepare import prepare
from serving.settings import ModelSettings

held = []
read = safetensors_checkpoint.SafetensorsCheckpoint.tensor
def reading(checkpoint, name):
    values = read(checkpoint, name)
    if sys.argv[3] == "hoarding":
        held.append(values)
    return values
safetensors_checkpoint.SafetensorsCheckpoint.tensor = reading

status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["RssAnon"].split()[0], flush=True)
prepare(ModelSettings(name=sys.argv[1], cache_dir=Path(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LAYERS layers, which all have the same weights; in bfloat16, as models are published."""
    folder = tmp_path_factory.mktemp("checkpoint") / "deep"
    checkpoints.write(folder)  # the tokenizer, and small weights that are written over
    config = {**checkpoints.CONFIG, **SIZES, "num_hidden_layers": LAYERS}
    (folder / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(0)
    pattern = (rng.standard_normal(1 << 21).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    stored = {
        name: pattern[: math.prod(size)].reshape(size)
        for name, size in DecoderShape.from_config(config).tensors().items()
    }
    checkpoints.write_shard(folder / "model.safetensors", stored, "BF16")
    return folder


def layer_bytes() -> int:
    """One layer in float32."""
    shape = DecoderShape.from_config({**checkpoints.CONFIG, **SIZES})
    return 4 * sum(math.prod(size) for size in shape.layer_tensors(0).values())


def anonymous_bytes(pid: int) -> int:
    """What a process holds besides files that it has mapped; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def peak_bytes(checkpoint: Path, cache: Path, *, manner: str) -> int:
    """The most that preparing held at once, beyond what importing had taken."""
    process = child.start(
        [sys.executable, "-c", PREPARES, str(checkpoint), str(cache), manner], cwd=PROJECT, environment=os.environ
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_bytes(process.pid))
        time.sleep(POLL_S)
    code, out, err = child.finish(process)
    assert code == 0, err
    return peak - int(out.split()[0]) * 1024


def test_a_model_is_prepared_within_the_memory_of_few_layers(checkpoint: Path, tmp_path: Path) -> None:
    peak = peak_bytes(checkpoint, tmp_path, manner="as it is")
    assert peak < MOST_LAYERS * layer_bytes(), f"{peak / layer_bytes():.1f} layers"


def test_layers_that_were_kept_would_be_seen(checkpoint: Path, tmp_path: Path) -> None:
    peak = peak_bytes(checkpoint, tmp_path, manner="hoarding")
    assert peak > LAYERS * layer_bytes()
