"""Fields of API objects as they come in JSON. Pure, and forgiving: what is not there is None or empty."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]


def dig(value: Any, *keys: str) -> Any:
    """The field at a path, None where there is none."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def rows(value: Any) -> list[Object]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def name(value: Object) -> str:
    """Its name."""
    return str(dig(value, "metadata", "name") or "")


def labels(value: Object) -> Mapping[str, str]:
    """Its labels."""
    return dig(value, "metadata", "labels") or {}


def named(values: Iterable[Object], wanted: str) -> Object | None:
    """The one with this name."""
    return next((value for value in values if name(value) == wanted), None)


def moment_s(value: Any) -> float | None:
    """An RFC 3339 instant in seconds since 1970; objects carry whole seconds, some events microseconds."""
    if not isinstance(value, str) or not value:
        return None
    digits = re.sub(r"(\.\d{6})\d+", r"\1", value).replace("Z", "+00:00")
    return datetime.fromisoformat(digits).timestamp()


def created_s(value: Object) -> float | None:
    """When it was made."""
    return moment_s(dig(value, "metadata", "creationTimestamp"))


def condition(value: Object, kind: str) -> Object:
    """The condition of this type, empty where there is none."""
    return next((row for row in rows(dig(value, "status", "conditions")) if row.get("type") == kind), {})


def is_true(value: Object, kind: str) -> bool:
    """Whether that condition is True."""
    return bool(condition(value, kind).get("status") == "True")


def true_since_s(value: Object, kind: str) -> float | None:
    """When it became True; None while it is not."""
    found = condition(value, kind)
    return moment_s(found.get("lastTransitionTime")) if found.get("status") == "True" else None


def told(value: Object) -> str:
    """What a condition or an event says, in one line: reason and message."""
    reason, message = str(value.get("reason") or ""), " ".join(str(value.get("message") or "").split())
    return f"{reason}: {message}" if reason and message and reason != message else reason or message


def event_s(event: Object) -> float | None:
    """When an event was reported first."""
    return moment_s(event.get("firstTimestamp")) or moment_s(event.get("eventTime")) or created_s(event)


def event_last_s(event: Object) -> float:
    """When it was reported last."""
    return (
        moment_s(event.get("lastTimestamp"))
        or moment_s(dig(event, "series", "lastObservedTime"))
        or event_s(event)
        or 0.0
    )


def about(events: Iterable[Object], value: Object, *reasons: str) -> list[Object]:
    """The events of an object for one of these reasons (without any: for all), the latest first."""
    uid, own = dig(value, "metadata", "uid"), name(value)
    found = [
        event
        for event in events
        if dig(event, "involvedObject", "name") == own
        and dig(event, "involvedObject", "uid") in (None, "", own, uid)  # the kubelet gives a node its name for a uid
        and (not reasons or event.get("reason") in reasons)
    ]
    return sorted(found, key=event_last_s, reverse=True)
