"""Kubernetes quantities as exact numbers: `7910m`, `29317Mi`, `2`, `1.5G`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

Resources: TypeAlias = dict[str, Fraction]
"""Resource name -> amount: CPU in cores, memory and storage in bytes, everything else as counted."""

_QUANTITY = re.compile(r"^([+-]?)(\d{1,24})?(?:\.(\d{0,24}))?(?:[eE]([+-]?\d{1,2})|([numkMGTPE]i?|Ki))?$")
_BINARY = {unit: Fraction(1024**power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": Fraction(10**3),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
}  # fmt: skip
MIB = Fraction(1024**2)
GIB = Fraction(1024**3)


def parse(value: Any) -> Fraction | None:
    """The amount that `value` stands for, None where it stands for none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _QUANTITY.match(str(value).strip())
    if match is None or not (match[2] or match[3]):
        return None
    number = Fraction(f"{match[1]}{match[2] or '0'}.{match[3] or '0'}")
    if match[4]:
        return number * Fraction(10) ** int(match[4])
    unit = match[5] or ""
    scale = _BINARY.get(unit) or _DECIMAL.get(unit) or (Fraction(1) if not unit else None)
    return None if scale is None else number * scale


def resources(value: Any) -> Resources:
    """A `requests`, `limits` or `hard` mapping; what is no quantity is left out."""
    if not isinstance(value, Mapping):
        return {}
    amounts = {str(name): parse(amount) for name, amount in value.items()}
    return {name: amount for name, amount in amounts.items() if amount is not None}


def total(parts: Iterable[Resources]) -> Resources:
    """The sum, resource by resource."""
    result: Resources = {}
    for part in parts:
        for name, amount in part.items():
            result[name] = result.get(name, Fraction(0)) + amount
    return result


def largest(first: Resources, second: Resources) -> Resources:
    """The larger amount of each resource."""
    return {name: max(first.get(name, Fraction(0)), second.get(name, Fraction(0))) for name in {**first, **second}}


def show(name: str, amount: Fraction) -> str:
    """`amount` as a person would write it: millicores for CPU, mebibytes for memory, a plain number otherwise."""
    if name.endswith("cpu"):
        return f"{float(amount * 1000):.0f}m"
    if name.endswith(("memory", "storage")):
        return f"{float(amount / GIB):.0f}Gi" if amount % GIB == 0 else f"{float(amount / MIB):.0f}Mi"
    return f"{float(amount):g}"


def show_all(amounts: Resources) -> str:
    """`cpu 6000m, memory 26Gi`."""
    return ", ".join(f"{name} {show(name, amount)}" for name, amount in sorted(amounts.items()) if amount)
