"""Ray Serve through the dashboard's REST API: target and replicas of one deployment.

Source: GET /api/serve/applications/ of Ray 2.60 (`ServeInstanceDetails` in ray.serve.schema).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from loadtest.observers import Event, Observation, ObserverError, Sample, ScalingRule

PATH = "/api/serve/applications/"
STAGES = frozenset(
    {"serve-target-raised", "replica-started", "replica-running", "serve-target-lowered", "replica-drained"}
)
_SOURCE = "serve"


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as Serve sees it."""

    id: str
    state: str  # STARTING, RUNNING, STOPPING, …
    started: bool  # its worker process exists
    ip: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The deployment at one instant."""

    at_s: float
    target: int
    replicas: Mapping[str, Replica]
    status: str
    message: str
    rule: ScalingRule | None

    @property
    def running(self) -> int:
        """Replicas that answer."""
        return sum(replica.state == "RUNNING" for replica in self.replicas.values())


def parse(document: Mapping[str, Any], at_s: float, *, application: str, deployment: str) -> Snapshot:
    """Ray's JSON -> a snapshot. Raises ObserverError when the deployment is not in it."""
    applications = document.get("applications") or {}
    try:
        app = applications[application]
        details = app["deployments"][deployment]
    except (KeyError, TypeError):
        found = ", ".join(applications) or "none"
        raise ObserverError(
            f"Serve has no deployment {deployment} in application {application} (applications: {found})"
        ) from None
    replicas = {
        row["replica_id"]: Replica(row["replica_id"], row["state"], bool(row.get("pid")), row.get("node_ip") or "")
        for row in details["replicas"]
    }
    return Snapshot(
        at_s=at_s,
        target=details["target_num_replicas"],
        replicas=replicas,
        status=details["status"],
        message=(details.get("message") or app.get("message") or "").strip(),
        rule=_rule((details.get("deployment_config") or {}).get("autoscaling_config")),
    )


def changes(before: Snapshot | None, after: Snapshot) -> tuple[Event, ...]:
    """What happened between two snapshots; the first one only sets the baseline."""
    if before is None:
        return ()
    found = []
    if after.target != before.target:
        stage = "serve-target-raised" if after.target > before.target else "serve-target-lowered"
        found.append(Event(stage, after.at_s, _SOURCE, detail=f"target {before.target} → {after.target}"))
    for replica in after.replicas.values():
        found += _replica_changes(before.replicas.get(replica.id), replica, after.at_s)
    for gone in before.replicas.keys() - after.replicas.keys():
        found.append(Event("replica-drained", after.at_s, _SOURCE, f"replica:{gone}"))
    return tuple(found)


def _replica_changes(before: Replica | None, after: Replica, at_s: float) -> list[Event]:
    subject, on = f"replica:{after.id}", f"ip:{after.ip}" if after.ip else ""
    found = []
    if after.started and not (before and before.started):
        found.append(Event("replica-started", at_s, _SOURCE, subject, on))
    if after.state == "RUNNING" and not (before and before.state == "RUNNING"):
        found.append(Event("replica-running", at_s, _SOURCE, subject, on))
    return found


def _rule(config: Mapping[str, Any] | None) -> ScalingRule | None:
    if not config:
        return None
    return ScalingRule(config["min_replicas"], config["max_replicas"], float(config["target_ongoing_requests"]))


def _evidence(snapshot: Snapshot) -> tuple[str, ...]:
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


class ServeObserver:
    """Polls the dashboard, with Ray's token where it has one."""

    name = _SOURCE
    stages = STAGES

    def __init__(
        self,
        dashboard_url: str,
        *,
        token: str | None = None,
        application: str = "chatbot",
        deployment: str = "Chat",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"x-ray-authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=dashboard_url, headers=headers, timeout=5, transport=transport)
        self._application = application
        self._deployment = deployment
        self._last: Snapshot | None = None

    def look(self, now_s: float) -> Observation:
        """One GET."""
        snapshot = parse(self._get(), now_s, application=self._application, deployment=self._deployment)
        events = changes(self._last, snapshot)
        self._last = snapshot
        return Observation(
            events=events,
            samples=(
                Sample("replicas_target", now_s, snapshot.target),
                Sample("replicas_running", now_s, snapshot.running),
                Sample("replicas_present", now_s, len(snapshot.replicas)),
            ),
            evidence=_evidence(snapshot),
            rule=snapshot.rule,
            replicas=tuple(r.id for r in snapshot.replicas.values() if r.state == "RUNNING"),
        )

    def _get(self) -> Mapping[str, Any]:
        try:
            answer = self._http.get(PATH)
            answer.raise_for_status()
            document = answer.json()
        except httpx.HTTPStatusError as error:
            hint = ": give Ray's token (--dashboard-token-file)" if error.response.status_code in (401, 403) else ""
            raise ObserverError(f"Ray's dashboard answers {error.response.status_code}{hint}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise ObserverError(f"Ray's dashboard at {self._http.base_url} does not answer: {error}") from error
        if not isinstance(document, dict):
            raise ObserverError("Ray's dashboard answers something that is not an object")
        return document
