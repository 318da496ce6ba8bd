"""What a cluster looks like under a fault, written down for the tests of `explain`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster.explain import explain
from cluster.explain.snapshot import Snapshot
from cluster.faults.fault import Fault
from cluster.objects import Manifest, dig

HEAD = (
    "# Recorded from the rehearsal under the fault {name}, on {date}; fields that explain does not read are left out.\n"
)
_NOISE = frozenset({"managedFields", "resourceVersion", "selfLink", "generateName"})
_BULK = frozenset(
    {"env", "volumeMounts", "volumes", "livenessProbe", "readinessProbe", "startupProbe", "command", "args", "images",
     "imageID", "ownerReferences", "terminationMessagePath", "terminationMessagePolicy", "blockDeviceMappings",
     "metadataOptions", "amis", "serveConfigV2", "securityGroups", "subnets", "headGroupSpec", "revisionHistoryLimit",
     "imagePullPolicy", "hash", "containerID", "securityContext", "nodeInfo", "ports", "lifecycle", "dnsPolicy", "userData"}
)  # fmt: skip
_NEWS = frozenset({"Nominated", "Pulling"})  # of the events that warn of nothing, those that explain reads
_OF_AN_EVENT = ("apiVersion", "kind", "type", "reason", "message", "involvedObject", "reportingComponent", "source",
                "firstTimestamp", "lastTimestamp", "eventTime", "series")  # fmt: skip


def write(folder: Path, fault: Fault, snapshot: Snapshot) -> Path | None:
    """One file, as tests/cluster/explain/situations holds them; its sentence is what explain says today.

    None where nothing is pending: such a fault shows in figures over time, not in the objects of one moment.
    """
    explanation = explain(snapshot)
    if not explanation.pending:
        return None
    document = {
        "situation": fault.sentence,
        "sentence": explanation.sentence,
        "taken_at": snapshot.taken_at.isoformat(),
        "objects": [pruned(value) for kind in sorted(snapshot.objects) for value in _told(snapshot, kind)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"recorded-{fault.name}.yaml"
    head = HEAD.format(name=fault.name, date=snapshot.taken_at.date().isoformat())
    path.write_text(head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), "utf-8")
    return path


def pruned(value: Any) -> Any:
    """Without what changes from run to run and what nobody looks at."""
    if isinstance(value, Mapping):
        return {k: pruned(v) for k, v in value.items() if k not in _NOISE | _BULK and v not in ({}, [], None)}
    return [pruned(item) for item in value] if isinstance(value, list | tuple) else value


def _told(snapshot: Snapshot, kind: str) -> list[Mapping[str, Any]]:
    """The objects of a kind by name; of the events only those about objects that are there, the last one a reason."""
    if kind != "Event":
        return sorted(snapshot.objects[kind], key=lambda value: Manifest(value).name)
    found = (
        event
        for kind in ("RayService", "RayCluster", "Pod", "NodePool", "NodeClaim", "EC2NodeClass", "Node")
        for value in snapshot.all(kind)
        for event in snapshot.events(value)
    )
    latest: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for event in found:
        if event.get("type") != "Warning" and event.get("reason") not in _NEWS:
            continue
        about = (dig(event, "involvedObject", "uid"), event.get("reason"), event.get("reportingComponent"))
        latest.setdefault(about, {key: event[key] for key in _OF_AN_EVENT if key in event})
    return list(latest.values())
