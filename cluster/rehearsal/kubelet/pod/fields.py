"""What a pod can be told about itself: `fieldRef` and `resourceFieldRef`, for environments and volumes alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cluster.objects import dig, mapping, mappings, string_map, text
from cluster.quantity import Resources, parse, resources
from cluster.rehearsal.kubelet.pod.spec import Pod

_ENTRY = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
_RENAMED = {"spec.serviceAccountName": "default"}  # with what stands for it where it is empty
_NODE_LIMITS = ("cpu", "memory", "ephemeral-storage")  # limits that are the node's where the container sets none


class Unresolved(Exception):
    """Something that the pod refers to is not there; `str()` is the kubelet's own sentence."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One pod, where it runs."""

    pod: Pod
    pod_address: str
    host_address: str
    allocatable: Resources  # of its node

    def field(self, path: str) -> str:
        """The value of a `fieldPath`. Raises Unresolved for one that is not offered."""
        if match := _ENTRY.match(path):
            return string_map(dig(self.pod.value, "metadata", match[1])).get(match[2], "")
        if path in {"metadata.labels", "metadata.annotations"}:
            entries = string_map(dig(self.pod.value, *path.split(".")))
            return "\n".join(f'{name}="{value}"' for name, value in sorted(entries.items()))
        if path in {"status.podIP", "status.podIPs"}:
            return self.pod_address
        if path in {"status.hostIP", "status.hostIPs"}:
            return self.host_address
        if path not in {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", *_RENAMED}:
            raise Unresolved(f"unsupported fieldPath: {path}")
        return text(dig(self.pod.value, *path.split("."))) or _RENAMED.get(path, "")

    def resource(self, reference: Mapping[str, Any], container: str) -> str:
        """The value of a `resourceFieldRef`, in whole divisors, rounded up. Raises Unresolved."""
        wanted = text(reference.get("containerName")) or container
        kind, _, name = text(reference.get("resource")).partition(".")
        if kind not in {"limits", "requests"} or not name:
            raise Unresolved(f"unsupported container resource: {text(reference.get('resource'))}")
        found = next((c.value for c in self.pod.all_containers if c.name == wanted), None)
        if found is None:
            raise Unresolved(f"container {wanted} not found")
        amount = resources(dig(found, "resources", kind)).get(name)
        if amount is None and kind == "limits" and name in _NODE_LIMITS:
            amount = self.allocatable.get(name)
        divisor = parse(reference.get("divisor")) or Fraction(1)
        return str(math.ceil((amount or Fraction(0)) / divisor))

    def source(self, value: Mapping[str, Any], container: str = "") -> str:
        """Of an item or an environment variable that names either kind of reference. Raises Unresolved."""
        if reference := mapping(value.get("resourceFieldRef")):
            return self.resource(reference, container)
        return self.field(text(dig(value, "fieldRef", "fieldPath")))


def memory_limit_bytes(container: Mapping[str, Any]) -> int | None:
    """None where it may have all there is."""
    limit = resources(dig(container, "resources", "limits")).get("memory")
    return None if limit is None else int(limit)


def items(value: Any) -> list[tuple[str, str, int | None]]:
    """Key, path and mode of the `items` of a volume source."""
    return [(text(item.get("key")), text(item.get("path")), item.get("mode")) for item in mappings(value)]
