"""What the manifests cost: dollars an hour at least and at most, a million tokens, the break-even. Pure.

Nodes are counted as Karpenter would buy them: for each pod the cheapest type of the pools that it may use, on demand in
us-east-1. Volumes, load balancers, data transfer and the EKS control plane are not counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.errors import Refused
from cluster.instance_types import InstanceType, sources, table
from cluster.lint.capacity import holding_types, open_pools
from cluster.lint.pods import Pod
from cluster.lint.ray import Group
from cluster.lint.stack import Stack
from cluster.objects import dig, text

NOT_COUNTED = "EBS volumes, load balancers, data transfer and the EKS control plane"
SCHEMA = "chatbot.cost/v1"


@dataclass(frozen=True, slots=True)
class Nodes:
    """So many nodes of one type, for somebody."""

    what: str
    type: InstanceType
    count: int

    @property
    def usd_per_hour(self) -> float:
        """All of them together. A type without a known price counts nothing, and `unpriced` names it."""
        return self.count * (self.type.usd_per_hour or 0.0)


@dataclass(frozen=True, slots=True)
class Bill:
    """What runs in one situation."""

    situation: str
    nodes: tuple[Nodes, ...]

    @property
    def usd_per_hour(self) -> float:
        """The sum."""
        return sum(part.usd_per_hour for part in self.nodes)

    @property
    def unpriced(self) -> list[str]:
        """Types without a price in the table."""
        return sorted({part.type.name for part in self.nodes if part.type.usd_per_hour is None})

    def document(self) -> dict[str, Any]:
        """As in the JSON output."""
        return {
            "situation": self.situation,
            "usd_per_hour": round(self.usd_per_hour, 4),
            "nodes": [
                {"what": n.what, "type": n.type.name, "count": n.count, "usd_per_hour": round(n.usd_per_hour, 4)}
                for n in self.nodes
            ],
            "unpriced": self.unpriced,
        }


def bills(stack: Stack) -> list[Bill]:
    """At minimum, at maximum, while an upgrade of the maximum runs two clusters, and at the pools' limits.

    Raises Refused where no pool can hold a Ray group: there is nothing to buy then, and lint says why.
    """
    least, most, surge = [], [], []
    for cluster in stack.clusters:
        head = Nodes(f"head of {cluster.manifest.name}", _type_for(stack, cluster.head.pod), 1)
        least.append(head)
        most.append(head)
        surge.append(Nodes(head.what, head.type, cluster.surge))
        for group in cluster.workers:
            kind, what = _type_for(stack, group.pod), f"workers {group.name} of {cluster.manifest.name}"
            least.append(Nodes(what, kind, _nodes(group, kind, group.minimum)))
            most.append(Nodes(what, kind, _nodes(group, kind, group.maximum)))
            surge.append(Nodes(what, kind, cluster.surge * _nodes(group, kind, group.maximum)))
    situations = {
        "at minimum": least,
        "at maximum": most,
        "at maximum, upgrading": surge,
        "at the pools' limits": _limits(stack),
    }
    return [Bill(name, tuple(part for part in parts if part.count)) for name, parts in situations.items()]


def _type_for(stack: Stack, pod: Pod) -> InstanceType:
    fitting = [kind for pool in open_pools(stack, pod) for kind in holding_types(stack, pool, pod)]
    if not fitting:
        raise Refused(f"No node pool can hold {pod.role} of {pod.manifest.name}; `cluster lint` says why.")
    return min(fitting, key=lambda kind: (kind.usd_per_hour or math.inf, kind.name))


def _nodes(group: Group, kind: InstanceType, replicas: int) -> int:
    """Nodes for `replicas` workers, as many on each as its allocatable resources hold."""
    asked = group.pod.requests
    per_node = min(
        (math.floor(kind.allocatable[n] / v) for n, v in asked.items() if v and n in kind.allocatable), default=1
    )
    return math.ceil(replicas * group.hosts / max(1, per_node))


def _limits(stack: Stack) -> list[Nodes]:
    """The dearest nodes that each pool's limits admit: the most that a mistake elsewhere can cost."""
    found = []
    for pool in stack.node_pools:
        priced = [kind for kind in pool.types if kind.usd_per_hour]
        counts = [(kind, _within(pool.limits, kind)) for kind in priced]
        bounded = [(kind, count) for kind, count in counts if count is not None]
        if bounded:
            kind, count = max(bounded, key=lambda pair: pair[1] * (pair[0].usd_per_hour or 0))
            found.append(Nodes(f"pool {pool.name}", kind, count))
    return found


def _within(limits: Mapping[str, Any], kind: InstanceType) -> int | None:
    counts = [math.floor(limit / kind.capacity[name]) for name, limit in limits.items() if kind.capacity.get(name)]
    counts += [math.floor(limits["nodes"])] if "nodes" in limits else []
    return min(counts, default=None)


def running(nodes: Iterable[Mapping[str, Any]]) -> Bill:
    """What the nodes of a cluster cost now, by their instance-type labels (`kubectl get nodes -o json`)."""
    names = Counter(text(dig(node, "metadata", "labels", "node.kubernetes.io/instance-type")) for node in nodes)
    known = [(table()[name], count) for name, count in sorted(names.items()) if name in table()]
    return Bill("now", tuple(Nodes("running", kind, count) for kind, count in known))


@dataclass(frozen=True, slots=True)
class PerMillion:
    """What a load test says of a token's price."""

    usd: float  # cold starts and idle time included
    output_tokens: int
    worker_node_s: float
    run_s: float
    break_even_tokens_per_s: float | None  # at which the minimum costs what a hosted model would

    def document(self) -> dict[str, Any]:
        """As in the JSON output."""
        return {
            "usd_per_million_output_tokens": round(self.usd, 4),
            "output_tokens": self.output_tokens,
            "worker_node_seconds": self.worker_node_s,
            "run_seconds": self.run_s,
            "break_even_tokens_per_s": self.break_even_tokens_per_s and round(self.break_even_tokens_per_s, 1),
        }


def per_million(minimum: Bill, report: Mapping[str, Any], hosted_usd: float | None) -> PerMillion:
    """From a document of `loadtest run` or `verify`: worker nodes for as long as they were counted, the rest for the run.

    Raises Refused where the report lacks tokens or node-seconds.
    """
    tokens, node_s, run_s = (
        _figure(report, *path)
        for path in (("traffic", "total", "tokens", "completion"), ("cost", "node_seconds"), ("ended_s",))
    )
    if not tokens or not run_s:
        raise Refused("The report counts no output tokens: take one of `loadtest run` whose requests were answered.")
    workers = [part for part in minimum.nodes if part.what.startswith("workers")]
    node_usd = max((part.type.usd_per_hour or 0 for part in workers), default=0.0)
    rest_usd = minimum.usd_per_hour - sum(part.usd_per_hour for part in workers)
    total = (node_s * node_usd + run_s * rest_usd) / 3600
    return PerMillion(total / tokens * 1e6, int(tokens), node_s, run_s, break_even(minimum, hosted_usd))


def break_even(minimum: Bill, hosted_usd: float | None) -> float | None:
    """Output tokens per second at which `minimum` costs what a hosted model at `hosted_usd` a million tokens costs."""
    return minimum.usd_per_hour / hosted_usd * 1e6 / 3600 if hosted_usd else None


def _figure(report: Mapping[str, Any], *path: str) -> float:
    value = dig(report, *path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(
            f"The report has no number at {'.'.join(path)}: it must be a document of `loadtest run` or `verify`."
        )
    return float(value)


def price_sources() -> list[dict[str, str]]:
    """Where the prices come from, and of which day."""
    return [{"what": source.what, "from": source.origin, "date": source.date} for source in sources()]
