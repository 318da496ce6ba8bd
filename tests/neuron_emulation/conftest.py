"""The library on the emulation, or a skip that says what is missing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import checkpoints

if TYPE_CHECKING:
    from tests.neuron_emulation.emulator.device import Device

NEEDED = {
    "torch": "torch",
    "transformers": "'transformers>=4.45,<5'",
    "transformers_neuronx": "the src folder of a checkout of aws-neuron/transformers-neuronx on PYTHONPATH",
}


@pytest.fixture(scope="session")
def device() -> Device:
    """The emulated device, and with it a library that can be imported."""
    absent = [text for module, text in NEEDED.items() if find_spec(module) is None]
    if absent:
        pytest.skip(f"the vendor's library is on no public index; this needs {' and '.join(absent)}")
    from tests.neuron_emulation.emulator.packages import install

    return install()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Mistral of 2 layers, 64 wide, with random weights in fp32."""
    folder = tmp_path_factory.mktemp("models") / "tiny-mistral"
    checkpoints.write(folder, rope_theta=1_000_000.0)
    return folder
