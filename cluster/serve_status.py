"""What Serve says in a RayService's status. Source: `AppStatus` of KubeRay 1.6.1, filled from Ray's `ServeInstanceDetails`."""

from __future__ import annotations

from typing import Any

from cluster.objects import dig, mapping, text

_TRAILER = "For further information visit https://errors.pydantic.dev"


def why_not_deployed(application: Any) -> str:
    """The last line that names the cause: of a deployment whose replicas end as they start, else of the application.

    The application's own message only counts its deployments then; the replica's traceback stands with the deployment.
    """
    deployments = mapping(dig(application, "serveDeploymentStatuses")).values()
    failed = [text(dig(d, "message")) for d in deployments if dig(d, "status") == "DEPLOY_FAILED"]
    return next(filter(None, map(last_line, [*failed, text(dig(application, "message"))])), "no message")


def last_line(message: str) -> str:
    """A traceback's end is what it is about, but for pydantic's advertisement below it."""
    lines = [line.strip() for line in message.split("\n") if line.strip()]
    told = [line for line in lines if not line.startswith(_TRAILER)]
    return told[-1].rstrip(".") if told else ""
