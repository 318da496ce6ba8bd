"""What a volume made of the API's objects holds: configMap, secret, downwardAPI, projected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.objects import mapping, mappings, text
from cluster.rehearsal.kubelet.pod.environment import Lookup, StoreKind, contents
from cluster.rehearsal.kubelet.pod.fields import Fields, Unresolved, items

DEFAULT_MODE = 0o644
KINDS = ("configMap", "secret", "downwardAPI", "projected")
_STORES: tuple[tuple[str, str, StoreKind], ...] = (
    ("configMap", "name", "ConfigMap"),
    ("secret", "secretName", "Secret"),
)


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume."""

    path: str  # below the volume
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the contents come from. `token(audience, lifetime_s)` is one of the pod's service account."""

    fields: Fields
    lookup: Lookup
    token: Callable[[str, int], str]


def files(volume: Mapping[str, Any], sources: Sources) -> list[File]:
    """All of one volume of `KINDS`. Raises Unresolved where something that is not optional is missing."""
    if projected := mapping(volume.get("projected")):
        mode = _mode(projected)
        return [file for part in mappings(projected.get("sources")) for file in _source(part, mode, sources)]
    return _source(volume, None, sources)


def _source(part: Mapping[str, Any], inherited: int | None, sources: Sources) -> list[File]:
    for field, named_by, kind in _STORES:
        if field in part:
            value = mapping(part[field])
            name = text(value.get("name")) or text(value.get(named_by))
            return _stored(kind, name, value, inherited or _mode(value), sources.lookup)
    if "downwardAPI" in part:
        value = mapping(part["downwardAPI"])
        mode = inherited or _mode(value)
        return [
            File(text(item.get("path")), sources.fields.source(item).encode(), item.get("mode") or mode)
            for item in mappings(value.get("items"))
        ]
    if "serviceAccountToken" in part:
        value = mapping(part["serviceAccountToken"])
        token = sources.token(text(value.get("audience")), int(value.get("expirationSeconds") or 3600))
        return [File(text(value.get("path")), token.encode(), inherited or DEFAULT_MODE)]
    raise Unresolved(f"volume source {', '.join(part) or 'nothing'} is not simulated by the process kubelet")


def _stored(kind: StoreKind, name: str, value: Mapping[str, Any], mode: int, lookup: Lookup) -> list[File]:
    optional = value.get("optional") is True
    store = lookup(kind, name)
    if store is None and not optional:
        raise Unresolved(f'{kind.lower()} "{name}" not found')
    held = contents(kind, store or {})
    wanted = items(value.get("items"))
    if not wanted:
        return [File(key, content, mode) for key, content in held.items()]
    missing = [key for key, _, _ in wanted if key not in held]
    if missing and not optional:
        raise Unresolved(f"references non-existent {kind.lower()} key: {missing[0]}")
    return [File(path, held[key], own or mode) for key, path, own in wanted if key in held]


def _mode(value: Mapping[str, Any]) -> int:
    mode = value.get("defaultMode")
    return mode if isinstance(mode, int) else DEFAULT_MODE
