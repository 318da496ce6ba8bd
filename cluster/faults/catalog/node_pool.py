"""In the NodePool of the workers."""

from __future__ import annotations

from typing import Any

from cluster.faults.edit import Edit
from cluster.faults.fault import Fault, Named, Phase

_TYPE = "/spec/template/spec/requirements/0/values"  # of node.kubernetes.io/instance-type


def _pool(path: str, value: Any) -> Edit:
    return Edit("NodePool", "trainium-trn1", path, value)


def _fault(name: str, sentence: str, phase: Phase, *edits: Edit, lint: str | None, verdict: Named) -> Fault:
    return Fault(name, sentence, phase, edits=edits, lint=lint, verdict=verdict)


NODE_POOL = (
    _fault(
        "limit-too-low",
        "The pool may have one node, Serve three replicas.",
        Phase.SCALE_OUT,
        _pool("/spec/limits/aws.amazon.com~1neuron", "1"),
        lint="limit-below-max-workers",
        verdict=Named("nodeclaim-created", "limit"),
    ),
    _fault(
        "instance-type-without-device",
        "The pool makes a type without Neuron devices.",
        Phase.DEPLOY,
        _pool(_TYPE, ["m5.2xlarge"]),
        lint="device-not-on-pool",
        verdict=Named("nodeclaim-created", "instance-type In m5.2xlarge"),
    ),
    _fault(
        "instance-type-unknown",
        "The pool names an instance type that does not exist.",
        Phase.DEPLOY,
        _pool(_TYPE, ["trn1.xlarge"]),
        lint="no-type-admitted",
        verdict=Named("nodeclaim-created", "instance-type In trn1.xlarge"),
    ),
    _fault(
        "zone-without-type",
        "The pool is bound to a zone that does not offer the type.",
        Phase.DEPLOY,
        _pool(
            "/spec/template/spec/requirements/-",
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a"]},
        ),
        lint=None,
        verdict=Named("nodeclaim-created", "zone In us-east-1a"),
    ),
    _fault(
        "node-class-misspelt",
        "The pool refers to a node class that does not exist.",
        Phase.DEPLOY,
        _pool("/spec/template/spec/nodeClassRef/name", "trainium"),
        lint="nodeclassref-unresolved",
        verdict=Named("nodeclaim-created", "EC2NodeClass trainium"),
    ),
    _fault(
        "startup-taint-stays",
        "The pool's nodes start with a taint that nobody removes.",
        Phase.DEPLOY,
        _pool(
            "/spec/template/spec/startupTaints",
            [{"key": "example.com/agent-not-ready", "value": "true", "effect": "NoSchedule"}],
        ),
        lint="startup-taint-no-remover",
        verdict=Named("device-advertised", "example.com/agent-not-ready"),
    ),
    _fault(
        "budget-of-zero",
        "The pool's budgets never allow an empty node to go.",
        Phase.SCALE_IN,
        _pool("/spec/disruption/budgets", [{"nodes": "0"}]),
        lint="budget-zero-always",
        verdict=Named("node-deleted", "budget"),
    ),
    _fault(
        "consolidation-off",
        "The pool never consolidates, so an empty node is paid for until somebody deletes it.",
        Phase.SCALE_IN,
        _pool("/spec/disruption/consolidateAfter", "Never"),
        lint="empty-nodes-stay",
        verdict=Named("node-deleted", "consolidateAfter"),
    ),
    Fault(
        "device-plugin-pdb",
        "A disruption budget over the device plugin forbids every eviction, so no node can be emptied.",
        Phase.SCALE_IN,
        edits=(
            Edit(
                "PodDisruptionBudget",
                "neuron-device-plugin",
                "",
                {
                    "apiVersion": "policy/v1",
                    "kind": "PodDisruptionBudget",
                    "metadata": {"name": "neuron-device-plugin", "namespace": "kube-system"},
                    "spec": {
                        "maxUnavailable": 0,
                        "selector": {"matchLabels": {"app.kubernetes.io/name": "neuron-device-plugin"}},
                    },
                },
            ),
        ),
        lint="pdb-holds-daemon-set",
        verdict=Named("node-deleted", "pdb"),
    ),
    Fault(
        "consolidation-in-mid-stream",
        "The pool consolidates nodes that are in use, and the workers do not object.",
        Phase.SCALE_IN,
        edits=(
            _pool("/spec/disruption", {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "0s"}),
            Edit(
                "RayService",
                "chatbot",
                "/spec/rayClusterConfig/workerGroupSpecs/0/template/metadata/annotations",
                {},
            ),
        ),
        lint="consolidation-evicts-serving",
        not_rehearsed="Karpenter moves a serving pod when a cheaper node would hold it, and the pool has one type",
    ),
)
