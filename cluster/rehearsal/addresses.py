"""Who listens where inside the lab. All of it is in network namespaces of its own: nothing clashes with the machine."""

from __future__ import annotations

from cluster.rehearsal.control_plane import Ports

CLUSTER = "rehearsal"
REGION = "us-east-1"
NODE_ROLE = "rehearsal-node-role"

BRIDGE = "lab0"
NETWORK = "10.88.0.0/16"  # the bridge, and every pod on it
ADDRESS = "10.88.7.1"  # the bridge's own: the API server, the kubelet and DNS answer here, for pods too
POD_NETWORK = "10.88.8.0/21"

PORTS = Ports(etcd=2379, etcd_peer=2380, api_server=6443, controller_manager=10257, scheduler=10259)
API_SERVER = f"https://{ADDRESS}:{PORTS.api_server}"
KUBELET_PORT = 10250
KWOK_PORT = 10247
EC2_PORT = 4566
EC2 = f"http://{ADDRESS}:{EC2_PORT}"
KARPENTER_METRICS_PORT, KARPENTER_HEALTH_PORT = 8180, 8181
KUBERAY_METRICS_PORT, KUBERAY_HEALTH_PORT = 8280, 8281

NAMESPACE = "chatbot"  # whose Service the chat address leads to
SERVICE = "chatbot-serve-svc"
