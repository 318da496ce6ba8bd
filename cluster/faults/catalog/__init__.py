"""Every seeded fault, along the chain."""

from __future__ import annotations

from cluster.errors import Refused
from cluster.faults.catalog.device_plugin import DEVICE_PLUGIN
from cluster.faults.catalog.lab import LAB
from cluster.faults.catalog.node_class import NODE_CLASS
from cluster.faults.catalog.node_pool import NODE_POOL
from cluster.faults.catalog.replica import REPLICA
from cluster.faults.catalog.serve import SERVE
from cluster.faults.catalog.worker import WORKER
from cluster.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (*SERVE, *REPLICA, *WORKER, *NODE_POOL, *NODE_CLASS, *DEVICE_PLUGIN, *LAB)

# What CI runs: a manifest that keeps the chatbot from coming up, one that shows under load, a component and a node.
SAMPLE = ("toleration-missing", "quota-too-small", "operator-dead", "nodes-never-ready")


def chosen(names: list[str]) -> list[Fault]:
    """The faults of these names. Raises Refused for a name that no fault has."""
    known = {fault.name: fault for fault in FAULTS}
    if unknown := [name for name in names if name not in known]:
        raise Refused(f"There is no fault {', '.join(unknown)}: use {', '.join(known)}.")
    return [known[name] for name in names]
