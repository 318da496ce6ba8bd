"""Everything that an explanation looks at, as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from cluster.client import Api
from cluster.objects import Manifest, dig, text
from cluster.objects import condition as condition

Object = Mapping[str, Any]

# (apiVersion, kind, whether only those of the chatbot's namespace are looked at)
KINDS = (
    ("ray.io/v1", "RayService", True),
    ("ray.io/v1", "RayCluster", True),
    ("v1", "Pod", True),
    ("v1", "Event", True),
    ("karpenter.sh/v1", "NodePool", False),
    ("karpenter.sh/v1", "NodeClaim", False),
    ("karpenter.k8s.aws/v1", "EC2NodeClass", False),
    ("v1", "Node", False),
)
PLUGIN_NAMESPACE = "kube-system"
CLUSTER_EVENTS = "default"  # where events of objects without a namespace are kept


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Objects by kind. What is not in it is taken for not there."""

    taken_at: datetime
    objects: Mapping[str, tuple[Object, ...]]

    @classmethod
    def of(cls, taken_at: datetime, values: Iterable[Object]) -> Snapshot:
        """From objects in any order."""
        by_kind: dict[str, list[Object]] = {}
        for value in values:
            by_kind.setdefault(text(value.get("kind")), []).append(value)
        return cls(taken_at, {kind: tuple(found) for kind, found in by_kind.items()})

    def all(self, kind: str) -> tuple[Object, ...]:
        """Those of a kind."""
        return self.objects.get(kind, ())

    def labelled(self, kind: str, label: str, value: str) -> list[Object]:
        """Those of a kind that carry the label."""
        return [item for item in self.all(kind) if Manifest(item).labels.get(label) == value]

    def named(self, kind: str, name: str) -> Object | None:
        """The object of that name, None where there is none."""
        return next((value for value in self.objects.get(kind, ()) if Manifest(value).name == name), None)

    def events(self, value: Object, *reasons: str) -> list[Object]:
        """What was reported about an object for one of these reasons, the latest first.

        Not what was reported about an earlier one of its name: events outlive their objects by an hour.
        """
        name, kind, uid = Manifest(value).name, text(value.get("kind")), dig(value, "metadata", "uid")
        found = self.events_about(kind, *reasons, name=name)
        return [event for event in found if not uid or dig(event, "involvedObject", "uid") in (None, "", name, uid)]

    def events_about(self, kind: str, *reasons: str, name: str = "") -> list[Object]:
        """The same about any object of a kind, also one that is gone."""
        found = [
            event
            for event in self.objects.get("Event", ())
            if dig(event, "involvedObject", "kind") == kind
            and (not name or dig(event, "involvedObject", "name") == name)
            and (not reasons or event.get("reason") in reasons)
        ]
        return sorted(found, key=_when, reverse=True)

    def seconds_since(self, moment: datetime | None) -> float:
        """Until the snapshot was taken; 0 for an unknown moment."""
        return (self.taken_at - moment).total_seconds() if moment else 0.0


def gather(api: Api, namespace: str, now: datetime) -> Snapshot:
    """Look at a cluster. Kinds that it does not serve are left out."""
    values: list[Object] = []
    for api_version, kind, local in KINDS:
        resource = api.resource(api_version, kind)
        if resource is not None:
            values += api.listing(resource, namespace if local else "").items
    events, pods, daemon_sets = (
        api.resource("v1", "Event"),
        api.resource("v1", "Pod"),
        api.resource("apps/v1", "DaemonSet"),
    )
    if events and pods and daemon_sets:
        values += api.listing(events, CLUSTER_EVENTS).items
        values += api.listing(daemon_sets, PLUGIN_NAMESPACE).items
        values += api.listing(pods, PLUGIN_NAMESPACE, labels="app.kubernetes.io/name=neuron-device-plugin").items
    return Snapshot.of(now, values)


def moment(value: Any) -> datetime | None:
    """A Kubernetes timestamp; None for anything else."""
    try:
        parsed = datetime.fromisoformat(text(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def created(value: Object | None) -> datetime | None:
    """When an object was made."""
    return moment(dig(value, "metadata", "creationTimestamp"))


def told(reported: Object) -> str:
    """A condition's or an event's own words, without the final full stop."""
    return (text(reported.get("message")) or text(reported.get("reason"))).strip().rstrip(".")


def _when(event: Object) -> str:
    series = dig(event, "series", "lastObservedTime")
    return text(series or event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp"))
