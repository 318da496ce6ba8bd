"""A Serve status as Ray's dashboard gives it, from an autoscaler that is four delays and no more: for tests only.

It scales to `most` replicas `up_s` after the first request, and back `down_s` after nothing is in flight. `broken` stops
the chain at one link, as a real cluster would.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class GoldenServe:
    """Time goes in, Ray's JSON comes out."""

    up_s: float = 0.5  # load -> target
    start_s: float = 0.3  # target -> worker process
    ready_s: float = 0.5  # worker process -> RUNNING
    down_s: float = 0.5  # idle -> target
    drain_s: float = 0.5  # target -> replica gone
    most: int = 2
    target_ongoing_requests: float = 2
    broken: str = ""  # serve-target-raised | replica-started | replica-running | serve-target-lowered | replica-drained
    in_flight: int = 0
    first_s: float | None = None
    idle_since_s: float | None = None
    seen_up: bool = field(default=False)

    def begin(self, now_s: float) -> None:
        """A request came."""
        self.first_s = now_s if self.first_s is None else self.first_s
        self.in_flight += 1
        self.idle_since_s = None

    def end(self, now_s: float) -> None:
        """A request ended."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self.idle_since_s = now_s

    def pick(self, number: int, now_s: float) -> str:
        """The replica that answers request `number`."""
        running = [replica["replica_id"] for replica in self.replicas(now_s) if replica["state"] == "RUNNING"]
        return str(running[number % len(running)])

    def lowered_s(self) -> float | None:
        """When the target went down again, if it did or will without further load."""
        if self.idle_since_s is None or self.broken == "serve-target-lowered":
            return None
        return self.idle_since_s + self.down_s

    def raised_s(self) -> float | None:
        """When the target went up."""
        if self.first_s is None or self.broken == "serve-target-raised":
            return None
        return self.first_s + self.up_s

    def replicas(self, now_s: float) -> list[dict[str, Any]]:
        """As in ReplicaDetails."""
        found = [_replica("golden-0", "RUNNING", 4000)]
        raised, lowered = self.raised_s(), self.lowered_s()
        if raised is None or now_s < raised:
            return found
        age_s = now_s - raised
        if lowered is not None and now_s >= lowered and self.broken != "replica-drained":
            if now_s < lowered + self.drain_s:
                found += [_replica(f"golden-{i}", "STOPPING", 4000 + i) for i in range(1, self.most)]
            return found
        started = age_s >= self.start_s and self.broken != "replica-started"
        running = started and age_s >= self.start_s + self.ready_s and self.broken != "replica-running"
        state = "RUNNING" if running else "STARTING"
        return found + [_replica(f"golden-{i}", state, 4000 + i if started else None) for i in range(1, self.most)]

    def document(self, now_s: float) -> dict[str, Any]:
        """GET /api/serve/applications/."""
        raised, lowered = self.raised_s(), self.lowered_s()
        up = raised is not None and now_s >= raised and (lowered is None or now_s < lowered)
        starting = any(replica["pid"] is None for replica in self.replicas(now_s))
        config = {
            "min_replicas": 1, "max_replicas": self.most if self.broken != "serve-target-raised" else 1,
            "target_ongoing_requests": self.target_ongoing_requests,
        }  # fmt: skip
        deployment = {
            "name": "Chat",
            "status": "UPSCALING" if up else "HEALTHY",
            "message": "1 replica could not be scheduled: no CPU is left" if starting else "",
            "target_num_replicas": self.most if up else 1,
            "deployment_config": {"autoscaling_config": config, "max_ongoing_requests": 8},
            "replicas": self.replicas(now_s),
        }
        return {"applications": {"chatbot": {"status": "RUNNING", "message": "", "deployments": {"Chat": deployment}}}}


def _replica(replica_id: str, state: str, pid: int | None) -> dict[str, Any]:
    return {"replica_id": replica_id, "state": state, "pid": pid, "node_id": "n0" if pid else None, "start_time_s": 0.0}
