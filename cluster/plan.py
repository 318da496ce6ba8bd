"""What a deploy would do: desired objects against live ones, with reasons, as plain values. It asks nobody.

The API server itself says what an object would become (a dry run of the very apply that would follow), so defaults,
conversions and other managers' fields are never guessed at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cluster import order
from cluster.objects import Key, Manifest, dig, mapping, mappings, string_map, text
from cluster.upgrade import Upgrade, judge

TARGET_LABEL = "chatbot.cluster/target"  # on what we made, and on nothing else: what carries it, destroy removes
_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


class Action(Enum):
    """What happens to one object."""

    CREATE = "create"
    CHANGE = "change"
    REPLACE = "replace"
    DELETE = "delete"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that becomes another; `None` where there is none before or after."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that somebody else applied with another value."""

    path: str
    manager: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What the API server says of one desired object."""

    live: Mapping[str, Any] | None = None
    predicted: Mapping[str, Any] | None = None  # None where it cannot be asked yet: its namespace is not there
    conflicts: tuple[Conflict, ...] = ()
    immutable: str = ""  # the server's sentence where the object cannot be changed into the desired one


@dataclass(frozen=True, slots=True)
class Change:
    """One object of the plan."""

    key: Key
    action: Action
    reason: str
    fields: tuple[FieldChange, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    upgrade: Upgrade | None = None
    adopted: bool = False  # it was there before us: changed by deploy, left by destroy


@dataclass(frozen=True, slots=True)
class Plan:
    """In the order in which it is carried out; what is kept is in it, too."""

    changes: tuple[Change, ...] = field(default_factory=tuple)

    @property
    def pending(self) -> list[Change]:
        """Everything but what stays as it is."""
        return [change for change in self.changes if change.action is not Action.KEEP]

    @property
    def conflicts(self) -> list[tuple[Key, Conflict]]:
        """Every field that only `--force-conflicts` would take from its manager."""
        return [(change.key, conflict) for change in self.changes for conflict in change.conflicts]


def diff(
    desired: Sequence[Manifest],
    observed: Mapping[Key, Observed],
    orphans: Iterable[Mapping[str, Any]],
    *,
    field_manager: str,
    usd_per_hour: Mapping[str, float] | None = None,
) -> Plan:
    """The plan that makes `observed` into `desired`. `orphans` carry our label and are desired no more."""
    pools = [manifest for manifest in desired if manifest.kind == "NodePool"]
    changes = [
        _change(manifest, observed.get(manifest.key, Observed()), field_manager, pools, usd_per_hour or {})
        for manifest in sorted(desired, key=lambda m: order.position(m.key))
    ]
    gone = sorted((Manifest(value).key for value in orphans), key=order.position, reverse=True)
    changes += [Change(key, Action.DELETE, "it is ours and no longer in the manifests") for key in gone]
    return Plan(tuple(changes))


def is_ours(live: Mapping[str, Any] | None, target: str) -> bool:
    """Whether a deploy to `target` made this object."""
    return string_map(dig(live, "metadata", "labels")).get(TARGET_LABEL) == target


def marked(manifest: Manifest, live: Mapping[str, Any] | None, target: str) -> dict[str, Any]:
    """The object to apply: with our label, unless somebody else made the live one."""
    if live is not None and not is_ours(live, target):
        return dict(manifest.value)
    metadata = mapping(manifest.value.get("metadata"))
    labels = {**mapping(metadata.get("labels")), TARGET_LABEL: target}
    return {**manifest.value, "metadata": {**metadata, "labels": labels}}


def field_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    """Where two answers of the API server differ, status and the server's own bookkeeping left out."""
    return list(_differences("", _comparable(before), _comparable(after)))


def _change(
    manifest: Manifest, seen: Observed, manager: str, pools: list[Manifest], prices: Mapping[str, float]
) -> Change:
    key = manifest.key
    if seen.live is None:
        return Change(key, Action.CREATE, "it does not exist")
    adopted = TARGET_LABEL not in string_map(dig(seen.live, "metadata", "labels"))
    if seen.immutable:
        return Change(key, Action.REPLACE, seen.immutable, conflicts=seen.conflicts, adopted=adopted)
    fields = tuple(field_changes(seen.live, seen.predicted or seen.live))
    upgrade = None
    if key.kind == "RayService" and seen.predicted is not None:
        paths = [change.path for change in fields]
        upgrade = judge(seen.live, seen.predicted, changed=paths, node_pools=pools, usd_per_hour=prices)
    if fields or seen.conflicts:
        reason = f"{len(fields)} field{'s' * (len(fields) != 1)} differ{'s' * (len(fields) == 1)}"
        return Change(key, Action.CHANGE, reason, fields, seen.conflicts, upgrade, adopted)
    if not _is_managed(seen.live, manager):
        return Change(key, Action.CHANGE, "nothing differs; its fields become managed by deploy", adopted=adopted)
    return Change(key, Action.KEEP, "nothing differs", adopted=adopted)


def _is_managed(live: Mapping[str, Any], manager: str) -> bool:
    entries = mappings(dig(live, "metadata", "managedFields"))
    return any(entry.get("manager") == manager and entry.get("operation") == "Apply" for entry in entries)


def _comparable(value: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: item for key, item in mapping(value.get("metadata")).items() if key not in _SERVER_FIELDS}
    return {**{key: item for key, item in value.items() if key != "status"}, "metadata": metadata}


def _differences(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(f"{path}.{key}" if path else text(key), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else None
            new = after[index] if index < len(after) else None
            yield from _differences(f"{path}[{index}]", old, new)
    elif before != after:
        yield FieldChange(path, before, after)
