"""Put look-alikes of torch_neuronx, libneuronxla and neuronxcc where `import` finds them."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from tests.neuron_emulation.emulator.device import COMPILED, Device, Executor, LoadedGraph, TensorSet
from tests.neuron_emulation.emulator.graph import HloScribe, Node
from tests.neuron_emulation.emulator.protocol import DataType, PrimitiveType

COMPILER_VERSION = "2.20.0+emulated"


def install() -> Device:
    """Before the first import of transformers_neuronx. Raises RuntimeError where the real packages are."""
    if importlib.util.find_spec("torch_neuronx") is not None:
        raise RuntimeError("torch_neuronx is installed: on a machine that has it, use the hardware smoke test")
    device = Device()
    torch.ops.neuron = SimpleNamespace(
        _init_neuron=lambda: None,
        _parallel_to_neuron=device.to_device,
        _parallel_from_neuron=device.from_device,
        _parallel_write_neuron=device.write,
        _parallel_slice_neuron=device.slice,
        _parallel_run_neuron=device.run,
        _parallel_executor_run=device.execute,
    )
    torch.classes.neuron = SimpleNamespace(
        ParallelTensorSet=TensorSet, ParallelModel=LoadedGraph, ParallelExecutor=Executor, Model=None
    )
    for name, names in _PACKAGES.items():
        _add_module(name, names)
    return device


def neuron_xla_compile(module: bytes, flags: str, **_options: Any) -> bytes:
    """Nothing is compiled: the result names the graph."""
    return COMPILED.encode() + hashlib.sha256(module).hexdigest().encode()


class CacheUrl:
    """There is no compile cache."""

    @staticmethod
    def get_cache_url(*_: Any) -> None:
        return None


class FrameworkKernel:
    """A kernel by its name only; the interpreter knows the one that is used."""

    def __init__(self, func_name: str | None = None, **_: Any) -> None:
        self.func_name = func_name

    def dump_config(self, *_shapes: Any) -> tuple[str | None, list[Any], list[Any]]:
        return self.func_name, [], []


def _absent(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("not in the emulation: no graph of ours uses it")


_PACKAGES: dict[str, dict[str, Any]] = {
    "torch_neuronx": {},
    "torch_neuronx.proto": {},
    "torch_neuronx.proto.metaneff_pb2": {"MetaTensor": SimpleNamespace(DataType=DataType), "MetaNeff": object},
    "torch_neuronx.pyhlo": {},
    "torch_neuronx.pyhlo.hlo_pb2": {},
    "torch_neuronx.pyhlo.xla_data_pb2": {"PrimitiveType": PrimitiveType},
    "torch_neuronx.pyhlo.scribe": {"HloScribe": HloScribe, "HloShape": Node},
    "torch_neuronx.pyhlo.constant": {},
    "torch_neuronx.pyhlo.constant.serialize_torch": {"serialize_torch": _absent},
    "libneuronxla": {"neuron_xla_compile": neuron_xla_compile},
    "libneuronxla.neuron_cc_cache": {"CacheUrl": CacheUrl, "create_compile_cache": lambda _url: object()},
    "neuronxcc": {"__version__": COMPILER_VERSION},
    "neuronxcc.nki": {"trace": _absent, "FrameworkKernel": FrameworkKernel},
    "neuronxcc.nki.language": {"bfloat16": "bfloat16"},
    "neuronxcc.nki.kernels": {},
    "neuronxcc.nki.kernels.attention": {"flash_fwd": None, "attention_isa_kernel": None},
    "neuronxcc.nki._private_kernels": {},
    "neuronxcc.nki._private_kernels.cumsum": {"cumsum": _absent},
}


def _add_module(name: str, names: dict[str, Any]) -> None:
    module = ModuleType(name)
    module.__path__ = []  # every one may have modules below it
    module.__dict__.update(names)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
