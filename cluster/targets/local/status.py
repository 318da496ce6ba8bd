"""What stands on this machine, in words and as JSON: pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cluster.targets import Status
from cluster.targets.local.dashboard import ServeStatus
from cluster.targets.local.listeners import Listener
from cluster.targets.local.processes import Process
from cluster.targets.local.state import State


def describe(
    state: State | None,
    serve: ServeStatus | None,
    *,
    ready: bool,
    running: Sequence[Process],
    held: Sequence[tuple[Listener, Process]],
    logs: Path,
) -> Status:
    """`serve` is None where Ray does not answer; `ready` is what the front door says."""
    healthy = ready and serve is not None and serve.status == "RUNNING"
    replicas = serve.replicas if serve else ()
    return Status(
        deployed=bool(running),
        healthy=healthy,
        base_url=state.base_url if state and running else None,
        summary=_summary(serve, healthy=healthy, running=bool(running)),
        facts={
            "serve": serve.status if serve else None,
            "message": serve.message if serve else None,
            "target_replicas": serve.target_replicas if serve else None,
            "replicas": [{"id": r.replica_id, "state": r.state, "pid": r.pid} for r in replicas],
            "processes": [{"pid": p.pid, "title": p.title[:120]} for p in running],
            "listeners": [
                {"port": s.port, "address": s.address, "loopback": s.loopback, "pid": p.pid, "title": p.title[:120]}
                for s, p in held
            ],
            "metrics": state.metrics_url if state and running else None,
            "logs": str(logs / state.run) if state else str(logs),
        },
    )


def _summary(serve: ServeStatus | None, *, healthy: bool, running: bool) -> str:
    if not running:
        return "The chatbot does not stand on this machine; `make deploy` stands it up."
    if healthy:
        return "The chatbot stands, and it is healthy."
    if serve is None:
        return "Ray does not answer; `make deploy` removes what is left of it and starts again."
    return f"The chatbot is not ready: Serve says {serve.status}. {serve.message}".rstrip()
