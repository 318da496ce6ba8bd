"""Ray's REST API, closed by the token: give it the Serve config, ask what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx

from cluster.serve_status import last_line

APPLICATIONS = "/api/serve/applications/"
PUT_S = 120.0  # the first one starts Serve's controller and proxies


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica, as Serve tells it."""

    replica_id: str
    state: str  # STARTING, RUNNING, STOPPING, …
    pid: int | None  # None until it has a process


@dataclass(frozen=True, slots=True)
class ServeStatus:
    """The one application."""

    status: str  # NOT_STARTED, DEPLOYING, RUNNING, UNHEALTHY, DEPLOY_FAILED, DELETING
    message: str
    target_replicas: int | None  # None until there is a deployment
    replicas: tuple[Replica, ...]


class Dashboard:
    """A client; every call raises httpx.HTTPError when Ray does not answer, or not with 200."""

    def __init__(self, url: str, token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=10, trust_env=False, transport=transport)

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            self._http.get("/api/version").raise_for_status()
        except httpx.HTTPError:
            return False
        return True

    def put(self, config: Mapping[str, Any]) -> None:
        """Make Serve run `config`; the same again changes nothing."""
        self._http.put(APPLICATIONS, json=config, timeout=PUT_S).raise_for_status()

    def status(self, application: str) -> ServeStatus:
        """What became of it."""
        content = self._http.get(APPLICATIONS).raise_for_status().json()
        return read_status(content, application)


def read_status(content: Mapping[str, Any], application: str) -> ServeStatus:
    """From Ray's answer; an application that is not there yet is NOT_STARTED."""
    app = cast(Mapping[str, Any], content.get("applications", {})).get(application)
    if app is None:
        return ServeStatus("NOT_STARTED", "", None, ())
    deployments = list(app.get("deployments", {}).values())
    replicas = tuple(
        Replica(r["replica_id"], r["state"], r.get("pid")) for d in deployments for r in d.get("replicas", ())
    )
    # Of a traceback, the line that says what it is about; the whole of it is in Serve's logs.
    messages = [last_line(one.get("message", "")) for one in (app, *deployments)]
    target = deployments[0].get("target_num_replicas") if deployments else None
    return ServeStatus(app["status"], " ".join(m for m in messages if m), target, replicas)
