"""What KWOK does to a node that Karpenter's in-memory EC2 has launched: it turns Ready after a while, and stays so."""

from __future__ import annotations

from typing import Any

from cluster.rehearsal.addresses import ADDRESS, KUBELET_PORT
from cluster.rehearsal.programs import CONTROL_PLANE
from cluster.rehearsal.scenario import Scenario

MANAGED = "kwok.x-k8s.io/node=fake"  # the annotation that Karpenter's provider gives its nodes
LEASE_S = 40  # a kubelet's default
_NEVER_S = 365 * 24 * 3600.0

_READY = '.status.conditions.[] | select( .type == "Ready" ) | .status'
# A kubelet posts these five; all pods of all nodes are run by one process, so every node has its address.
_STATUS = """\
{{ $now := Now }}
phase: Running
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
addresses:
- type: InternalIP
  address: %(address)s
- type: Hostname
  address: {{ .metadata.name | Quote }}
daemonEndpoints:
  kubeletEndpoint:
    Port: %(port)d
nodeInfo:
  architecture: amd64
  operatingSystem: linux
  osImage: rehearsal
  kernelVersion: rehearsal
  containerRuntimeVersion: process://rehearsal
  kubeletVersion: %(version)s
  kubeProxyVersion: ""
  bootID: ""
  machineID: ""
  systemUUID: ""
"""


_FACTS = {"address": ADDRESS, "port": KUBELET_PORT, "version": CONTROL_PLANE.version}


def launch_s(rehearsed: Scenario) -> float:
    """From an instance to its Node object, for Karpenter."""
    return _NEVER_S if rehearsed.broken.nodes_never_launch else rehearsed.node_launch_s


def ready_s(rehearsed: Scenario) -> float:
    """From the Node object to Ready, for KWOK."""
    return _NEVER_S if rehearsed.broken.nodes_never_ready else rehearsed.node_ready_s


def stages(rehearsed: Scenario) -> dict[str, Any]:
    """KWOK's configuration: one stage for nodes and none for pods, which the process kubelet runs."""
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": "node-ready"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Node"},
            "selector": {"matchExpressions": [{"key": _READY, "operator": "NotIn", "values": ["True"]}]},
            "delay": {"durationMilliseconds": round(ready_s(rehearsed) * 1000)},
            "next": {"statusTemplate": _STATUS % _FACTS},
        },
    }
