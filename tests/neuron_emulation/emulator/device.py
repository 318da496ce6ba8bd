"""The device: tensors in shards, loaded graphs, and an executor that runs one and counts what must not happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tests.neuron_emulation.emulator import graph, interpreter


class Device:
    """`torch.ops.neuron` and `torch.classes.neuron` of one process, and what was done with them."""

    def __init__(self) -> None:
        self.runs: list[str] = []  # names of the graphs that ran
        self.overlapping_runs = 0
        self.parameter_writes = 0
        self._running = 0

    def to_device(self, shards: Sequence[Any]) -> Any:
        return sharded([shard.detach().clone().contiguous() for shard in shards])

    def from_device(self, tensor: Any) -> list[Any]:
        return [shard.clone() for shard in tensor.shards]

    def write(self, tensor: Any, shards: Sequence[Any]) -> None:
        self.parameter_writes += 1
        for ours, theirs in zip(tensor.shards, shards, strict=True):
            assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
            ours.copy_(theirs)

    def slice(self, tensor: Any, axis: int, start: int, end: int, step: int) -> Any:
        parts = [slice(None)] * tensor.dim()
        parts[axis] = slice(start, end, step)
        return sharded([shard[tuple(parts)] for shard in tensor.shards])

    def run(self, model: LoadedGraph, inputs: TensorSet, outputs: TensorSet) -> None:
        self._running += 1
        self.overlapping_runs += self._running > 1
        try:
            self._run(model, inputs, outputs)
        finally:
            self._running -= 1

    def execute(self, executor: Executor, given: Sequence[Any], return_ranks: int) -> list[Any]:
        """Copy the inputs in, run, and return each output's first `return_ranks` ranks (-1: all) as one tensor."""
        for target, value in zip(executor.user_inputs, given, strict=True):
            for shard in target.shards:
                shard.copy_(value)
        self.run(executor.model, executor.inputs, executor.outputs)
        if return_ranks == 0:
            return []
        ranks = executor.model.ranks if return_ranks < 0 else return_ranks
        return [torch.cat([shard.clone() for shard in o.shards[:ranks]], dim=0) for o in executor.user_outputs]

    def _run(self, model: LoadedGraph, inputs: TensorSet, outputs: TensorSet) -> None:
        parameters = model.module.host_program_shape.parameters
        for number, declared in enumerate(parameters):
            bound = list(inputs.tensors[number].shape)
            assert bound == declared.dimensions, (number, bound, declared.dimensions)
        values = [inputs.tensors[number].shards for number in range(len(parameters))]
        for number, value in enumerate(interpreter.run(model.module, values, ranks=model.ranks)):
            for ours, new in zip(outputs.tensors[number].shards, value, strict=True):
                ours.copy_(new)
        self.runs.append(model.module.name)


class _Place:
    """What the library asks of a tensor's device."""

    type = "xla"


class ShardedTensor(torch.Tensor):  # type: ignore[misc,unused-ignore] # untyped where torch is absent
    """Looks like its first shard, and holds one for each rank."""

    shards: list[Any]

    @property
    def device(self) -> Any:
        return _Place()


def sharded(shards: Sequence[Any]) -> Any:
    tensor = shards[0].detach().as_subclass(ShardedTensor)
    tensor.shards = list(shards)
    return tensor


class TensorSet:
    """The tensors that are bound to a graph's parameters or outputs, by number."""

    def __init__(self, _names: Sequence[str], _ranks: int) -> None:
        self.tensors: dict[int, Any] = {}

    def init(self) -> None:
        self.tensors = {}

    def add(self, number: int, tensor: Any) -> None:
        self.tensors[number] = tensor


class LoadedGraph:
    """A compiled graph on the device; "compiled" is the digest of one that this process has built."""

    def __init__(self, compiled: bytes, ranks: int, _first_core: int, _cores: int) -> None:
        self.module = graph.modules[compiled.decode().removeprefix(COMPILED)]
        self.ranks = ranks

    def load(self) -> None:
        """It is loaded already."""


class Executor:
    """A loaded graph with its tensors."""

    def __init__(
        self, model: LoadedGraph, inputs: TensorSet, outputs: TensorSet, user_inputs: list[Any], user_outputs: list[Any]
    ) -> None:
        self.model, self.inputs, self.outputs = model, inputs, outputs
        self.user_inputs, self.user_outputs = user_inputs, user_outputs


COMPILED = "emulated:"
