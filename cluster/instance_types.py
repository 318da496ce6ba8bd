"""EC2's instance types: what a pod can have of each, what Karpenter labels it with, what it costs.

The figures are data with their sources (`instance_types.json`, made by `cluster.schemas.generate`); what is allocatable
is computed as Karpenter's AWS provider 1.14 computes it: 7.5 % of the memory for the hypervisor, kube-reserved by
vCPUs and pods, 100Mi for eviction.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from importlib import resources
from typing import Any, cast

from cluster.quantity import GIB, MIB, Resources

VM_MEMORY_OVERHEAD = Fraction(75, 1000)
EVICTION_MIB = 100
NEURON = "aws.amazon.com/neuron"
NEURON_CORE = "aws.amazon.com/neuroncore"
GPU = "nvidia.com/gpu"
_RESERVED_CPU_M = ((0, 1000, 0.06), (1000, 2000, 0.01), (2000, 4000, 0.005), (4000, 1 << 31, 0.0025))
_NAME = re.compile(r"^([a-z]+)(\d*)")


@dataclass(frozen=True)
class InstanceType:
    """One row of the table."""

    name: str
    vcpus: int
    memory_mib: int
    arch: str  # amd64 | arm64
    network_interfaces: int
    addresses_per_interface: int
    nvme_gb: int  # 0: no local disk
    accelerator: str  # trainium, inferentia2, a10g, ...; "" without
    neuron_devices: int
    neuron_cores: int
    neuron_device_memory_mib: int
    nvidia_gpus: int
    usd_per_hour: float | None  # on demand in us-east-1; None where the source has no price

    @property
    def family(self) -> str:
        """`trn1` of `trn1.2xlarge`."""
        return self.name.partition(".")[0]

    @property
    def size(self) -> str:
        """`2xlarge` of `trn1.2xlarge`."""
        return self.name.partition(".")[2]

    @property
    def pods(self) -> int:
        """How many pods the VPC CNI's addresses allow."""
        return self.network_interfaces * (self.addresses_per_interface - 1) + 2

    @cached_property
    def capacity(self) -> Resources:
        """What NodePool limits count."""
        overhead = math.ceil(self.memory_mib * VM_MEMORY_OVERHEAD)
        return self._with_devices(Fraction(self.vcpus), (self.memory_mib - overhead) * MIB)

    @cached_property
    def allocatable(self) -> Resources:
        """What pods and daemon sets share."""
        milli = self.vcpus * 1000
        reserved = sum(int((min(milli, end) - start) * part) for start, end, part in _RESERVED_CPU_M if milli >= start)
        kept = math.ceil(self.memory_mib * VM_MEMORY_OVERHEAD) + 11 * self.pods + 255 + EVICTION_MIB
        return self._with_devices(Fraction(milli - reserved, 1000), (self.memory_mib - kept) * MIB)

    def _with_devices(self, cpu: Fraction, memory: Fraction) -> Resources:
        devices = {NEURON: self.neuron_devices, NEURON_CORE: self.neuron_cores, GPU: self.nvidia_gpus}
        amounts: Resources = {"cpu": cpu, "memory": memory, "pods": Fraction(self.pods)}
        return amounts | {name: Fraction(count) for name, count in devices.items() if count}

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """The labels that Karpenter's requirements can select it by."""
        match = _NAME.match(self.family)
        category, generation = (match[1], match[2]) if match else (self.family, "")
        labels = {
            "node.kubernetes.io/instance-type": self.name,
            "kubernetes.io/arch": self.arch,
            "karpenter.k8s.aws/instance-family": self.family,
            "karpenter.k8s.aws/instance-size": self.size,
            "karpenter.k8s.aws/instance-category": category,
            "karpenter.k8s.aws/instance-generation": generation,
            "karpenter.k8s.aws/instance-cpu": str(self.vcpus),
            "karpenter.k8s.aws/instance-memory": str(self.memory_mib),
            "karpenter.k8s.aws/instance-hypervisor": "nitro",
        }
        if self.nvme_gb:
            labels["karpenter.k8s.aws/instance-local-nvme"] = str(self.nvme_gb)
        if self.neuron_devices:
            labels["karpenter.k8s.aws/instance-accelerator-name"] = self.accelerator
            labels["karpenter.k8s.aws/instance-accelerator-manufacturer"] = "aws"
            labels["karpenter.k8s.aws/instance-accelerator-count"] = str(self.neuron_devices)
        if self.nvidia_gpus:
            labels["karpenter.k8s.aws/instance-gpu-name"] = self.accelerator
            labels["karpenter.k8s.aws/instance-gpu-manufacturer"] = "nvidia"
            labels["karpenter.k8s.aws/instance-gpu-count"] = str(self.nvidia_gpus)
        return labels

    def disk_bytes(self, root_gib: Fraction, *, raid0: bool) -> Fraction:
        """What images, logs and emptyDirs share: the NVMe under RAID0 where there is one, else the root volume."""
        return Fraction(self.nvme_gb * 10**9) if raid0 and self.nvme_gb else root_gib * GIB


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures come from."""

    what: str
    origin: str
    date: str


@functools.cache
def table() -> Mapping[str, InstanceType]:
    """Every type by name, without bare metal."""
    return {name: InstanceType(name, *row) for name, row in _data()["types"].items()}


def usd_per_hour() -> dict[str, float]:
    """The on-demand price of every type that has one."""
    return {name: row.usd_per_hour for name, row in table().items() if row.usd_per_hour is not None}


@functools.cache
def sources() -> tuple[Source, ...]:
    """The sources of the figures, prices first."""
    return tuple(Source(item["what"], item["from"], item.get("date", "")) for item in _data()["sources"])


@functools.cache
def _data() -> dict[str, Any]:
    return cast(
        dict[str, Any], json.loads((resources.files("cluster") / "instance_types.json").read_text(encoding="utf-8"))
    )
