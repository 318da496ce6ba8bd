"""NodePools and node classes: which instance types they admit, which labels and taints their nodes get."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from cluster.instance_types import InstanceType, table
from cluster.objects import Manifest, dig, mapping, mappings, sequence, string_map, text
from cluster.quantity import Resources, parse, resources

TYPE_DOMAIN = "karpenter.k8s.aws/instance-"
AUTO_MODE_DOMAIN = "eks.amazonaws.com/instance-"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
ZONE = "topology.kubernetes.io/zone"
TYPE_KEYS = (INSTANCE_TYPE, "kubernetes.io/arch")
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def duration_s(value: Any) -> float | None:
    """Seconds of a Go duration such as `1h30m`; infinity for Never, None for anything else."""
    written = text(value)
    if written == "Never":
        return math.inf
    parts = _DURATION.findall(written)
    if not parts or "".join(number + unit for number, unit in parts) != written:
        return None
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of a pool."""

    key: str
    operator: str
    values: tuple[str, ...]
    path: str

    def admits(self, value: str | None) -> bool:
        """Whether a node whose label is `value` (None: it has no such label) may be made."""
        if self.operator in ("In", "Exists"):
            return value is not None and (self.operator == "Exists" or value in self.values)
        if self.operator in ("NotIn", "DoesNotExist"):
            return value is None or (self.operator == "NotIn" and value not in self.values)
        bound, amount = parse(self.values[0]) if self.values else None, parse(value)
        if bound is None or amount is None:
            return False
        return {"Gt": amount > bound, "Lt": amount < bound, "Gte": amount >= bound, "Lte": amount <= bound}.get(
            self.operator, False
        )


@functools.lru_cache(maxsize=1024)
def _admitted(about: tuple[tuple[str, str, tuple[str, ...]], ...]) -> tuple[InstanceType, ...]:
    needs = [(key, Requirement(key, operator, values, "")) for key, operator, values in about]
    allowed = [kind for kind in table().values() if all(need.admits(kind.labels.get(key)) for key, need in needs)]
    return tuple(sorted(allowed, key=lambda kind: (kind.usd_per_hour or math.inf, kind.name)))


def type_label(key: str) -> str:
    """Auto Mode's names for instance properties as Karpenter's own."""
    return key.replace(AUTO_MODE_DOMAIN, TYPE_DOMAIN) if key.startswith(AUTO_MODE_DOMAIN) else key


@dataclass(frozen=True, slots=True)
class Budget:
    """One disruption budget."""

    value: Mapping[str, Any]
    path: str

    @property
    def nodes(self) -> str:
        """A number or a percentage."""
        return text(self.value.get("nodes"), "10%")

    @property
    def zero(self) -> bool:
        """Whether it allows nothing."""
        return self.nodes in ("0", "0%")

    @property
    def scheduled(self) -> bool:
        """Whether it is active only at times."""
        return bool(text(self.value.get("schedule")))

    def covers(self, reason: str) -> bool:
        """Whether it speaks of `reason`: it names it, or names none."""
        reasons = [text(item) for item in sequence(self.value.get("reasons"))]
        return not reasons or reason in reasons


@dataclass(frozen=True, eq=False)
class NodePool:
    """One NodePool."""

    manifest: Manifest

    @property
    def name(self) -> str:
        """As written."""
        return self.manifest.name

    @cached_property
    def template(self) -> Mapping[str, Any]:
        """`spec.template`."""
        return mapping(self.manifest.spec.get("template"))

    @cached_property
    def node(self) -> Mapping[str, Any]:
        """`spec.template.spec`."""
        return mapping(self.template.get("spec"))

    @cached_property
    def labels(self) -> dict[str, str]:
        """Labels that its nodes get."""
        return string_map(dig(self.template, "metadata", "labels"))

    @cached_property
    def taints(self) -> list[Mapping[str, Any]]:
        """Taints that its nodes keep."""
        return mappings(self.node.get("taints"))

    @cached_property
    def requirements(self) -> list[Requirement]:
        """As written, with labels as requirements of one value."""
        return [
            Requirement(
                text(item.get("key")),
                text(item.get("operator")),
                tuple(text(value) for value in sequence(item.get("values"))),
                f"spec.template.spec.requirements[{index}]",
            )
            for index, item in enumerate(mappings(self.node.get("requirements")))
        ]

    @cached_property
    def types(self) -> list[InstanceType]:
        """The instance types that its requirements admit, cheapest first."""
        about = [
            (type_label(r.key), r.operator, r.values) for r in self.requirements if _is_type_key(type_label(r.key))
        ]
        return list(_admitted(tuple(about)))

    def values(self, key: str) -> tuple[str, ...]:
        """The values that an In requirement or a label gives `key`."""
        if key in self.labels:
            return (self.labels[key],)
        return next((r.values for r in self.requirements if r.key == key and r.operator == "In"), ())

    @cached_property
    def limits(self) -> Resources:
        """`spec.limits`."""
        return resources(self.manifest.spec.get("limits"))

    @cached_property
    def disruption(self) -> Mapping[str, Any]:
        """`spec.disruption`."""
        return mapping(self.manifest.spec.get("disruption"))

    @property
    def policy(self) -> str:
        """`consolidationPolicy` or its default."""
        return text(self.disruption.get("consolidationPolicy"), "WhenEmptyOrUnderutilized")

    @cached_property
    def budgets(self) -> list[Budget]:
        """The budgets, and Karpenter's default of 10 % where none is written."""
        written = mappings(self.disruption.get("budgets"))
        if not written:
            return [Budget({"nodes": "10%"}, "spec.disruption")]
        return [Budget(value, f"spec.disruption.budgets[{index}]") for index, value in enumerate(written)]

    def always_zero(self, reason: str) -> Budget | None:
        """A budget that never lets a node go for `reason`."""
        return next((b for b in self.budgets if b.zero and not b.scheduled and b.covers(reason)), None)

    @property
    def expire_after_s(self) -> float:
        """Infinity for Never; 30 days where nothing is written."""
        return duration_s(self.node.get("expireAfter", "720h")) or math.inf

    @property
    def termination_grace_s(self) -> float | None:
        """None where a drain may last for ever."""
        return duration_s(self.node.get("terminationGracePeriod"))

    @cached_property
    def class_name(self) -> str:
        """The node class it refers to."""
        return text(dig(self.node, "nodeClassRef", "name"))

    @cached_property
    def nodes_within_limits(self) -> tuple[int | None, str]:
        """(most nodes of the smallest admitted type that the limits allow, the arithmetic); None without a limit."""
        types, counts = self.types, []
        for key, limit in self.limits.items():
            per_node = [kind.capacity[key] for kind in types if kind.capacity.get(key)]
            if key == "nodes":
                counts.append((math.floor(limit), f"nodes {limit}"))
            elif per_node:
                # Karpenter compares with a type's capacity before the hypervisor's share only for CPU and devices; for
                # memory the limit is met by fewer bytes than the type's name promises, so capacity is the right divisor.
                count = math.floor(limit / min(per_node))
                counts.append((count, f"⌊{_short(key, limit)} ÷ {_short(key, min(per_node))}⌋ = {count} by {key}"))
        return min(counts, default=(None, "no limits"), key=lambda pair: pair[0])


def _short(key: str, amount: Fraction) -> str:
    if key == "memory":
        return f"{float(amount / 1024**3):.1f}Gi"
    return f"{float(amount):g}"


def _is_type_key(key: str) -> bool:
    return key in TYPE_KEYS or key.startswith(TYPE_DOMAIN)


@dataclass(frozen=True, eq=False)
class NodeClass:
    """One EC2NodeClass."""

    manifest: Manifest

    @property
    def name(self) -> str:
        """As written."""
        return self.manifest.name

    @property
    def spec(self) -> Mapping[str, Any]:
        """As written."""
        return self.manifest.spec

    @property
    def aliases(self) -> list[str]:
        """The aliases among the AMI selector terms."""
        terms = mappings(self.spec.get("amiSelectorTerms"))
        return [text(term["alias"]) for term in terms if term.get("alias")]

    @property
    def family(self) -> str:
        """AMI family, lower-case: written, or that of the alias."""
        alias = self.aliases[0].partition("@")[0] if self.aliases else ""
        return (text(self.spec.get("amiFamily")) or alias).lower()

    @property
    def raid0(self) -> bool:
        """Whether the instance store becomes the node's storage."""
        return text(self.spec.get("instanceStorePolicy")) == "RAID0"

    @property
    def volumes(self) -> dict[str, Mapping[str, Any]]:
        """EBS settings by device name."""
        return {
            text(item.get("deviceName")): mapping(item.get("ebs"))
            for item in mappings(self.spec.get("blockDeviceMappings"))
        }

    @property
    def images_device(self) -> str:
        """The volume that holds images: Bottlerocket keeps them on a second one."""
        return "/dev/xvdb" if self.family == "bottlerocket" else "/dev/xvda"

    @property
    def images_gib(self) -> Fraction:
        """Its size in GiB; Karpenter's default is 20."""
        size = parse(self.volumes.get(self.images_device, {}).get("volumeSize"))
        return Fraction(20) if size is None else size / 1024**3
