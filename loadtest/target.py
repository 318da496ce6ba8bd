"""Where the load goes and who watches: from flags, the environment, and what a deployed target wrote down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest import rehearsal
from loadtest.client.connection import Endpoint
from loadtest.errors import UsageError
from loadtest.observers import Observer
from loadtest.observers.dashboard import HttpDashboard
from loadtest.observers.kubernetes import KubernetesObserver
from loadtest.observers.kubernetes.api import connect
from loadtest.observers.kubernetes.dashboard import ServiceProxy
from loadtest.observers.serve import ServeObserver
from loadtest.rehearsal import Rehearsal
from loadtest.settings import DEFAULT_URL, LOOPBACK, Settings


@dataclass(frozen=True, slots=True)
class Given:
    """What a command's flags say; None: nothing."""

    base_url: str | None = None
    dashboard_url: str | None = None
    token_file: Path | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    rayservice: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One chatbot. `endpoint` is None where only a cluster is known, and nothing answers yet."""

    name: str
    endpoint: Endpoint | None
    observers: tuple[Observer, ...]
    rehearsal: Rehearsal | None = None

    def described(self) -> dict[str, Any]:
        """What a report says of it; never a key or a token."""
        host = self.endpoint.host if self.endpoint else None
        return {
            "name": self.name,
            "base_url": str(self.endpoint) if self.endpoint else "(none)",
            "class": "loopback" if host in LOOPBACK else "remote",
        }


def resolve(name: str, settings: Settings, given: Given, *, from_deploy: bool = False) -> Target:
    """Flags over environment over the state of `name`. Raises UsageError."""
    if given.dashboard_url and (given.kubeconfig or given.context):
        raise UsageError("--dashboard-url and --kubeconfig or --context name two ways to watch: give one of them")
    state = read_state(settings.state_file(name))
    url = given.base_url or settings.base_url or state.get("base_url") or (DEFAULT_URL if name == "local" else None)
    if url is None and not from_deploy:
        raise UsageError(
            f"target {name} has no known address: deploy it first (python -m cluster deploy {name}); "
            "one that is reached through a port-forward needs --base-url, too"
        )
    observers = _cluster_observers(state, settings, given, from_deploy) or _dashboard_observers(
        state, settings, given, from_deploy
    )
    endpoint = Endpoint.parse(url, api_key=settings.api_key) if url else None
    return Target(name, endpoint, observers, rehearsal.from_state(state))


def _cluster_observers(
    state: Mapping[str, Any], settings: Settings, given: Given, from_deploy: bool
) -> tuple[Observer, ...]:
    """Everything through one kubeconfig; nothing where there is none, or where somebody names a dashboard instead.

    Nor where the load goes to another address than that of the cluster, unless a flag names the cluster.
    """
    kubeconfig = given.kubeconfig or settings.kubeconfig or _path(state.get("kubeconfig"))
    explicit = given.kubeconfig or given.context
    elsewhere = given.base_url or settings.dashboard_url or (settings.base_url and not settings.kubeconfig)
    if (kubeconfig is None and given.context is None) or given.dashboard_url or (elsewhere and not explicit):
        return ()
    api = connect(kubeconfig, given.context or state.get("context"))
    namespace = given.namespace or state.get("namespace") or "chatbot"
    service = given.rayservice or state.get("rayservice") or "chatbot"
    dashboard = ServiceProxy(api, namespace, service)
    return (
        ServeObserver(dashboard, from_deploy=from_deploy),
        KubernetesObserver(
            api, dashboard, namespace=namespace, service=service, from_deploy=from_deploy,
            usd_per_h=state.get("usd_per_hour"),
        ),
    )  # fmt: skip


def _dashboard_observers(
    state: Mapping[str, Any], settings: Settings, given: Given, from_deploy: bool
) -> tuple[Observer, ...]:
    known = None if given.base_url or settings.base_url else state.get("dashboard_url")  # it knows the state's only
    url = given.dashboard_url or settings.dashboard_url or known
    if not url:
        return ()
    own = _path(state.get("dashboard_token_file")) if url == state.get("dashboard_url") else None  # nobody else's
    token = _token(given.token_file) or settings.dashboard_token or _token(own)
    return (ServeObserver(HttpDashboard(url, token=token), from_deploy=from_deploy),)


def read_state(path: Path) -> Mapping[str, Any]:
    """What the deployed target wrote down; empty when nothing is deployed. Raises UsageError when it is something else."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path} ({error}): deploy the target again") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not what a target writes down: deploy the target again")
    return document


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise UsageError(f"cannot read the token in {path}: {error.strerror}") from error


def _path(value: Any) -> Path | None:
    return Path(value) if isinstance(value, str) else None
