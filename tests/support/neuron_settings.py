"""Settings of a chatbot whose runner is the Neuron one, on the contract fake and a tiny checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving.settings import Settings, load
from tests.support import checkpoints

NEURON: dict[str, Any] = {
    "library": "tests.support.neuron_library",
    "decode_buckets": [64, 256],
    "prefill_buckets": [32, 128],
    "global_top_k": 16,
}


def checkpoint(folder: Path, **config: Any) -> Path:
    """A tiny Mistral checkpoint."""
    checkpoints.write(folder, **config)
    return folder


def neuron_settings(model: Path, **neuron: Any) -> Settings:
    """Two slots of 256 positions; `neuron` changes fields of that group."""
    return load(
        {
            "model": {"name": str(model), "cache_dir": str(model.parent / "cache")},
            "runner": {"kind": "neuron", "slots": 2, "positions": 256},
            "neuron": NEURON | neuron,
            "api": {"page": False},
        }
    )
