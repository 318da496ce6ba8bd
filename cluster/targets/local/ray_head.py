"""How our Ray is started: on loopback, on free ports, with its folder and its token in ours. A value, not yet an act.

Never `ray stop`: it ends every Ray of the machine.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

from cluster.targets.local.folder import LocalFolder

LOOPBACK = "127.0.0.1"
PORTS = (
    "gcs",
    "dashboard",
    "dashboard_agent",
    "dashboard_agent_grpc",
    "dashboard_metrics",
    "runtime_env_agent",
    "node_manager",
    "object_manager",
    "client_server",
    "metrics",
    "haproxy_metrics",
    "haproxy_stats",
    "fallback_proxy",
    "fallback_proxy_grpc",
)
OBJECT_STORE_BYTES = 100_000_000  # nothing of ours goes through it
MARGIN_S = 30.0  # whatever may cut an answer waits so much longer than the longest one


def command(folder: LocalFolder, ports: Mapping[str, int], *, num_cpus: int) -> list[str]:
    """`ray start`, in the foreground."""
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
        *("--no-monitor", "--log-style=record", "--log-color=false"),
        *(f"--temp-dir={folder.ray}", f"--num-cpus={num_cpus}", f"--dashboard-host={LOOPBACK}"),
        *(f"--object-store-memory={OBJECT_STORE_BYTES}", "--min-worker-port=0", "--max-worker-port=0"),
        f"--port={ports['gcs']}",
        f"--dashboard-port={ports['dashboard']}",
        f"--dashboard-agent-listen-port={ports['dashboard_agent']}",
        f"--dashboard-agent-grpc-port={ports['dashboard_agent_grpc']}",
        f"--runtime-env-agent-port={ports['runtime_env_agent']}",
        f"--node-manager-port={ports['node_manager']}",
        f"--object-manager-port={ports['object_manager']}",
        f"--ray-client-server-port={ports['client_server']}",
        f"--metrics-export-port={ports['metrics']}",
    ]


def variables(folder: LocalFolder, ports: Mapping[str, int], *, longest_answer_s: float) -> dict[str, str]:
    """What Ray's processes read when they are imported, so that it has to stand in their environment from the start.

    An answer may last `longest_answer_s`; HAProxy must not cut its stream earlier when it reloads.
    """
    return {
        # Off, Ray takes 127.0.0.1 for this node's address and listens there; the flag's name says why it was made.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder.token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "DASHBOARD_METRIC_PORT": str(ports["dashboard_metrics"]),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",  # a dead HAProxy is replaced when it has been missed three times
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "3",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(math.ceil(longest_answer_s + MARGIN_S)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder.haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder.haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder.haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder.haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder.haproxy / "server-state"),
        # Else requests are told to whoever listens on UDP port 514. Nobody does here: the config names no such file.
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder.haproxy / "log.sock"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports["haproxy_metrics"]),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports["haproxy_stats"]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports["fallback_proxy"]),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports["fallback_proxy_grpc"]),
    }


def inherited(environment: Mapping[str, str], project: Path) -> dict[str, str]:
    """The user's environment, but for what another Ray left in it; this project stands on the path."""
    kept = {name: value for name, value in environment.items() if not name.startswith("RAY_")}
    return kept | {"PYTHONPATH": str(project)}
