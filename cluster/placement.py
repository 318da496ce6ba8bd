"""Kubernetes' and Karpenter's own rules of where a pod fits: labels, taints, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from cluster.objects import Manifest, dig, mapping, mappings, string_map, text
from cluster.quantity import parse

Object = Mapping[str, Any]

POOL_LABEL = "karpenter.sh/nodepool"


def provides(pool: Object, selector: Mapping[str, str]) -> bool:
    """Whether nodes of the pool can carry these labels."""
    labels = {**string_map(dig(pool, "spec", "template", "metadata", "labels")), POOL_LABEL: Manifest(pool).name}
    requirements = mappings(dig(pool, "spec", "template", "spec", "requirements"))
    allowed = {
        text(r.get("key")): list(map(text, r.get("values") or [])) for r in requirements if r.get("operator") == "In"
    }
    return all(labels.get(key) == value or value in allowed.get(key, ()) for key, value in selector.items())


def untolerated_taints(pool: Object, tolerations: Sequence[Object]) -> list[Object]:
    """The pool's taints that keep such a pod away."""
    taints = mappings(dig(pool, "spec", "template", "spec", "taints"))
    return [taint for taint in taints if not tolerates(tolerations, taint)]


def tolerates(tolerations: Sequence[Object], taint: Object) -> bool:
    """Kubernetes' rule: key, operator and effect."""
    for toleration in tolerations:
        key, effect = toleration.get("key"), toleration.get("effect")
        exists = toleration.get("operator") == "Exists"
        matches = (key == taint.get("key") or (exists and not key)) and effect in {None, "", taint.get("effect")}
        if matches and (exists or text(toleration.get("value")) == text(taint.get("value"))):
            return True
    return False


def taint_text(taint: Object) -> str:
    """As kubectl writes it."""
    value = text(taint.get("value"))
    return f"{text(taint.get('key'))}{f'={value}' if value else ''}:{text(taint.get('effect'))}"


def requests_of(pod: Object) -> dict[str, str]:
    """What the pod's containers ask for, as written; sums where two ask for the same."""
    total: dict[str, Any] = {}
    for container in mappings(dig(pod, "spec", "containers")):
        asked = {**mapping(dig(container, "resources", "limits")), **mapping(dig(container, "resources", "requests"))}
        for key, value in asked.items():
            total.setdefault(key, []).append(text(value))
    return {key: " + ".join(values) for key, values in total.items()}


def spent_limits(pool: Object, pod: Object) -> list[str]:
    """The pool's limits that the pod's node would break, as `resource used of limit`."""
    used = mapping(dig(pool, "status", "resources"))
    asked = requests_of(pod)
    broken = []
    for key, limit in mapping(dig(pool, "spec", "limits")).items():
        wanted = sum(_quantity(part) for part in asked.get(key, "").split(" + "))
        taken, allowed = _quantity(text(used.get(key))), _quantity(text(limit))
        if taken >= allowed or taken + wanted > allowed:
            broken.append(f"{key} {text(used.get(key)) or 0} of {text(limit)}")
    return broken


def _quantity(value: str) -> Fraction:
    return parse(value) or Fraction(0)
