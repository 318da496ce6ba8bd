"""For the setting `neuron.library`: the vendor's library on the emulation. Needs what conftest.py lists.

python -m serving run --runner neuron --model FOLDER --set neuron.library=tests.neuron_emulation.library --set neuron.amp=f32 …
"""

from __future__ import annotations

from serving.engine.runners.neuron import library
from serving.engine.runners.neuron.library import compile_graphs, load_model
from tests.neuron_emulation.emulator import packages

__all__ = ["compile_graphs", "device", "load_model", "versions"]

device = packages.install()


def versions() -> dict[str, str]:
    """They say that no chip computes."""
    return {name: f"{version}.emulated" for name, version in library.versions().items()}
