"""A plan for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cluster.plan import Action, Change, FieldChange, Plan
from cluster.upgrade import Nodes, Upgrade, Verdict

SCHEMA = "chatbot.plan/v1"
_SIGNS = {
    Action.CREATE: "+", Action.CHANGE: "~", Action.REPLACE: "!", Action.DELETE: "-", Action.KEEP: " ",
}  # fmt: skip
_LONGEST_VALUE = 60
_MOST_FIELDS = 12


def plan_lines(plan: Plan) -> Iterator[str]:
    """What will happen, a line an object, its fields and what KubeRay makes of it below; then the sum."""
    for change in plan.pending:
        yield f"{_SIGNS[change.action]} {change.action.value} {change.key}: {change.reason}"
        yield from _details(change)
    kept = len(plan.changes) - len(plan.pending)
    counts = [
        f"{number} to {action.value}"
        for action in (Action.CREATE, Action.CHANGE, Action.REPLACE, Action.DELETE)
        if (number := sum(change.action is action for change in plan.pending))
    ]
    yield f"{', '.join(counts) or 'No change'}; {kept} as they should be"


def plan_document(plan: Plan, target: str) -> dict[str, Any]:
    """The JSON output."""
    return {"schema": SCHEMA, "target": target, "changes": [_document(change) for change in plan.changes]}


def _details(change: Change) -> Iterator[str]:
    if change.adopted:
        yield "    somebody else made it: deploy changes it, destroy leaves it"
    for field in change.fields[:_MOST_FIELDS]:
        yield f"    {field.path}: {_value(field.before)} -> {_value(field.after)}"
    if len(change.fields) > _MOST_FIELDS:
        yield f"    and {len(change.fields) - _MOST_FIELDS} more fields"
    for conflict in change.conflicts:
        yield f"    {conflict.path} is managed by {conflict.manager}: refused without --force-conflicts"
    if change.upgrade:
        yield from _upgrade_lines(change.upgrade)


def _upgrade_lines(upgrade: Upgrade) -> Iterator[str]:
    yield f"    {upgrade.verdict.value}"
    if upgrade.verdict is Verdict.NEW_CLUSTER:
        yield f"    because of {', '.join(upgrade.because[:3])}"
        for nodes in upgrade.extra_nodes:
            yield f"    meanwhile {_nodes(nodes)}"


def _nodes(nodes: Nodes) -> str:
    kind = nodes.instance_type or f"node pool {nodes.node_pool}"
    price = "at a price that is not known" if nodes.usd_per_hour is None else f"${nodes.usd_per_hour:.2f}/h"
    return f"{nodes.count} more node{'s' * (nodes.count != 1)} of {kind}, {price}"


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    shown = json.dumps(value, sort_keys=True)
    return shown if len(shown) <= _LONGEST_VALUE else shown[: _LONGEST_VALUE - 1] + "…"


def _document(change: Change) -> dict[str, Any]:
    key, upgrade = change.key, change.upgrade
    return {
        "object": {"kind": key.kind, "namespace": key.namespace, "name": key.name},
        "action": change.action.value,
        "reason": change.reason,
        "adopted": change.adopted,
        "fields": [_field(field) for field in change.fields],
        "conflicts": [{"path": conflict.path, "manager": conflict.manager} for conflict in change.conflicts],
        "upgrade": upgrade
        and {
            "verdict": upgrade.verdict.name.lower().replace("_", "-"),
            "because": list(upgrade.because),
            "extra_nodes": [
                {
                    "count": nodes.count,
                    "instance_type": nodes.instance_type,
                    "node_pool": nodes.node_pool,
                    "usd_per_hour": nodes.usd_per_hour,
                }
                for nodes in upgrade.extra_nodes
            ],
        },
    }


def _field(field: FieldChange) -> dict[str, Any]:
    return {"path": field.path, "before": field.before, "after": field.after}
