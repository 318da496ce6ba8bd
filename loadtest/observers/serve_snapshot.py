"""The deployment at one instant as Serve tells it: what changed since another, how it stands, what keeps a link away. Pure.

Source: GET /api/serve/applications/ of Ray 2.60 (`ServeInstanceDetails` in ray.serve.schema).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loadtest.observers import Cause, Event, Link, ObserverError, ScalingRule
from loadtest.observers.startup import Startup

SOURCE = "serve"
STAGES = frozenset(
    {"serve-target-raised", "replica-started", "replica-running", "serve-target-lowered", "replica-drained"}
)
FAILED = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})
SERVES_LOOK_BACK_S = 30.0  # Serve's own default
# Where a constructor raised, as Ray writes it above a replica's traceback.
_RAISED = re.compile(r"\(pid=\d+, ip=(?P<ip>[\d.:a-fA-F]+), actor_id=(?P<actor>\w+)")


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as Serve sees it."""

    id: str
    state: str  # STARTING, RUNNING, STOPPING, …
    started: bool  # its worker process exists
    ip: str
    actor: str = ""

    @property
    def links(self) -> tuple[Link, ...]:
        """The Ray node that it stands on."""
        return ((f"replica:{self.id}", f"ip:{self.ip}"),) if self.ip else ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The deployment at one instant; one that Serve has not made yet has target 0."""

    at_s: float
    target: int
    replicas: Mapping[str, Replica]
    status: str
    message: str
    rule: ScalingRule | None
    fallen: Replica | None = None  # one whose constructor raised, by Serve's message: it may never be seen otherwise

    @property
    def seen(self) -> tuple[Replica, ...]:
        """All of which something is known."""
        return (*self.replicas.values(), *([self.fallen] if self.fallen else ()))

    @property
    def running(self) -> int:
        """Replicas that answer."""
        return sum(replica.state == "RUNNING" for replica in self.replicas.values())


def parse(document: Mapping[str, Any], at_s: float, *, application: str, deployment: str) -> Snapshot:
    """Ray's JSON -> a snapshot. Raises ObserverError when the application is not in it."""
    applications = document.get("applications") or {}
    app = applications.get(application)
    if not isinstance(app, Mapping) or (deployment not in (app.get("deployments") or {}) and not _is_coming(app)):
        found = ", ".join(applications) or "none"
        raise ObserverError(
            f"Serve has no deployment {deployment} in application {application} (applications: {found})"
        )
    details = (app.get("deployments") or {}).get(deployment)
    if details is None:
        return Snapshot(at_s, 0, {}, str(app.get("status")), str(app.get("message") or "").strip(), None)
    replicas = {row["replica_id"]: _replica(row) for row in details["replicas"]}
    config = details.get("deployment_config") or {}
    message = (details.get("message") or app.get("message") or "").strip()
    return Snapshot(
        at_s=at_s,
        target=details["target_num_replicas"],
        replicas=replicas,
        status=str(app.get("status") if app.get("status") in FAILED else details["status"]),
        message=message,
        rule=_rule(config),
        fallen=_fallen(message, {replica.actor for replica in replicas.values()}),
    )


def changes(before: Snapshot | None, after: Snapshot) -> tuple[Event, ...]:
    """What happened between two snapshots; the first one only sets the baseline."""
    if before is None:
        return ()
    found = []
    if after.target != before.target:
        stage = "serve-target-raised" if after.target > before.target else "serve-target-lowered"
        step = (float(before.target), float(after.target))
        found.append(Event(stage, after.at_s, SOURCE, detail=f"target {before.target} → {after.target}", step=step))
    for replica in after.replicas.values():
        found += _replica_changes(before.replicas.get(replica.id), replica, after.at_s)
    fallen = after.fallen
    if fallen and fallen.actor not in {replica.actor for replica in before.seen if replica.started}:
        found += _replica_changes(None, fallen, after.at_s)
    for gone in before.replicas.keys() - after.replicas.keys():
        found.append(Event("replica-drained", after.at_s, SOURCE, f"replica:{gone}"))
    return tuple(found)


def causes(snapshot: Snapshot, starts: Mapping[str, Startup]) -> Iterator[Cause]:
    """What Serve and its replicas say of links that are missing."""
    for replica in snapshot.seen:
        yield from _startup_causes(snapshot, replica, starts.get(replica.id, Startup()))
    rule = snapshot.rule
    most = rule.max_ongoing_requests if rule is not None else None
    if rule is not None and most is not None and most < rule.target_ongoing_requests:
        text = (
            f"max_ongoing_requests is {most} and target_ongoing_requests {rule.target_ongoing_requests:g}: "
            "a full replica alone is below the load at which Serve adds another"
        )
        yield Cause("serve-target-raised", text)
    told = _last_line(snapshot.message)
    failed = snapshot.status in FAILED
    if told and failed and not snapshot.replicas and snapshot.target == 0:
        yield Cause("serve-target-raised", f"Serve cannot deploy the application: {told}", definite=True)
    elif told and failed:
        for stage in ("replica-started", "model-loaded", "replica-running"):
            yield Cause(stage, f"Serve says {snapshot.status}: {told}", definite=True)
    elif told and any(not replica.started for replica in snapshot.replicas.values()):
        first = " ".join(snapshot.message.split())[:400]
        yield Cause("replica-started", f"Serve waits for a place for a replica: {first}")


def evidence(snapshot: Snapshot) -> tuple[str, ...]:
    """How things stand, in sentences that quote Serve."""
    states = ", ".join(
        f"{replica.id} {replica.state}{'' if replica.started else ' (no process yet)'}"
        for replica in snapshot.replicas.values()
    )
    lines = [f"Serve: status {snapshot.status}, target {snapshot.target}, replicas: {states or 'none'}"]
    if snapshot.rule is not None:
        lines.append(
            f"Serve: autoscaling between {snapshot.rule.min_replicas} and {snapshot.rule.max_replicas} replicas, "
            f"target_ongoing_requests {snapshot.rule.target_ongoing_requests:g}"
        )
    if snapshot.message:
        lines.append(f"Serve: {snapshot.message}")
    return tuple(lines)


def _startup_causes(snapshot: Snapshot, replica: Replica, start: Startup) -> Iterator[Cause]:
    """How far a replica came that does not run yet."""
    subject, told = f"replica:{replica.id}", _last_line(snapshot.message)
    stage = "model-loaded" if start.loaded_unix_s is None else "replica-running"
    if start.failed is not None:
        text = f"Replica {replica.id} failed in stage {start.failed} of its start" + (f": {told}" if told else "")
        yield Cause(stage, text, definite=snapshot.status in FAILED, subject=subject)
    elif start.over_budget is not None:
        text = f"Replica {replica.id} is beyond its start-up budget in stage {start.over_budget}"
        yield Cause(stage, text, subject=subject)
    elif start.passed and replica.state == "STARTING":
        ahead = (
            "its canary, a first prefill and decode, does not pass"
            if start.loaded_unix_s
            else "it still loads its model"
        )
        text = f"Replica {replica.id} has passed {', '.join(start.passed)} of its start, and {ahead}"
        yield Cause(stage, text, subject=subject)


def _is_coming(app: Mapping[str, Any]) -> bool:
    """Serve knows the application and has not built its deployments, or could not."""
    return not app.get("deployments") and bool(app.get("status"))


def _replica(row: Mapping[str, Any]) -> Replica:
    return Replica(
        row["replica_id"], row["state"], bool(row.get("pid")), row.get("node_ip") or "", row.get("actor_id") or ""
    )


def _fallen(message: str, known: set[str]) -> Replica | None:
    """Of a replica that is not among the `known` actors any more."""
    told = _RAISED.search(message)
    if told is None or told["actor"] in known:
        return None
    return Replica(f"actor-{told['actor'][:8]}", "STOPPED", started=True, ip=told["ip"], actor=told["actor"])


def _replica_changes(before: Replica | None, after: Replica, at_s: float) -> list[Event]:
    subject, on = f"replica:{after.id}", f"ip:{after.ip}" if after.ip else ""
    found = []
    if after.started and not (before and before.started):
        found.append(Event("replica-started", at_s, SOURCE, subject, on))
    if after.state == "RUNNING" and not (before and before.state == "RUNNING"):
        found.append(Event("replica-running", at_s, SOURCE, subject, on))
    return found


def _rule(deployment: Mapping[str, Any]) -> ScalingRule | None:
    config = deployment.get("autoscaling_config")
    if not config:
        return None
    return ScalingRule(
        config["min_replicas"], config["max_replicas"], float(config["target_ongoing_requests"]),
        max_ongoing_requests=deployment.get("max_ongoing_requests"),
        look_back_period_s=float(config.get("look_back_period_s") or SERVES_LOOK_BACK_S),
    )  # fmt: skip


def _last_line(message: str) -> str:
    """A traceback's end is what it is about, but for pydantic's advertisement below it."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("For further information visit https://errors.pydantic.dev")]
    return told[-1].rstrip(".")[:400] if told else ""
