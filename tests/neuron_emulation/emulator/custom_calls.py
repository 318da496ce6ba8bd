"""The vendor's own operations, by the target's name: what they compute, in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.neuron_emulation.emulator.graph import Node

Local = Callable[..., Any]


def _argument(node: Node) -> str:
    text: str = node.attributes.get("backend_config", b"").decode()
    return text


def _rms_norm(node: Node) -> Local:
    axis, dtype = int(_argument(node)), node.dtype.torch_dtype

    def apply(x: Any, weight: Any, epsilon: Any) -> Any:
        wide = x.float()
        sizes = [1] * x.dim()
        sizes[axis] = -1
        scale = torch.rsqrt((wide * wide).mean(axis, keepdim=True) + epsilon.float())
        return (wide * scale * weight.float().reshape(sizes)).to(dtype)

    return apply


def _top_k(node: Node) -> Local:
    count = int(_argument(node))

    def apply(x: Any) -> Any:
        best = torch.topk(x, count, dim=-1)
        return best.values, best.indices.to(torch.int32)

    return apply


def _native_kernel(node: Node) -> Local:
    """Of all kernels only the cumulative sum of top-p sampling is in our graphs."""
    if _argument(node) != "_cumsum":
        raise NotImplementedError(_argument(node))
    return lambda x: torch.cumsum(x.float(), dim=-1).to(x.dtype)


CUSTOM_CALLS: dict[str, Callable[[Node], Local]] = {
    "AwsNeuronTransferWithStaticRing": lambda _: lambda x: x,
    "AwsNeuronRmsNorm": _rms_norm,
    "AwsNeuronTopK": _top_k,
    "AwsNeuronCustomNativeKernel": _native_kernel,
    "AwsNeuronSoftmax": lambda node: lambda x: torch.softmax(x.float(), dim=int(_argument(node))).to(x.dtype),
    "AwsNeuronArgMax": lambda node: lambda x: x.argmax(int(_argument(node))).to(torch.int32),
}
