"""One replica: the whole chatbot, app and engine, in one process under Ray Serve.

Serve's throughput flags run this class on the replica's own event loop, which also answers health checks: nothing here
may block it. The model loads in a thread, and the engine computes in one of its own.
"""

from __future__ import annotations

import logging
import math
import sys

import ray
from ray import serve
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.auth import require_keys
from serving.assembly import assemble
from serving.settings import Settings
from serving.telemetry.ray_sink import RaySink
from serving.telemetry.request_log import JsonFormatter


class Chat:
    """The Serve deployment; `serving.app` says with which options."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Serve awaits it
        """Return when the model is loaded and has answered: Serve sends requests from then on."""
        _log_as_json()
        require_keys(
            await serve_host(), api_keys_file=settings.api.api_keys_file, trusted_network=settings.api.trusted_network
        )
        num_cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1.0)
        sink = RaySink()
        sink.keep_repeating()
        self._chatbot = await assemble(
            with_threads(settings, num_cpus),
            replica_id=serve.get_replica_context().replica_id.unique_id,
            sink=sink,
        )

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The app; called once, after the constructor."""
        return SingleRequestId(self._chatbot.app)

    async def check_health(self) -> None:
        """Raises when the engine can compute no more; Serve then replaces the replica."""
        self._chatbot.engine.check_health()

    async def __del__(self) -> None:
        """Serve has drained the replica: no request is left."""
        if hasattr(self, "_chatbot"):  # else the constructor failed
            await self._chatbot.close(drain_s=0)


async def serve_host() -> str:
    """The address that Serve's HTTP face listens on, this replica's own server with it: whatever the controller holds.

    By the names by which Serve's own replicas ask for it; the end-to-end tests notice a change of them.
    """
    controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    return str((await controller.get_http_config.remote()).host)


def with_threads(settings: Settings, num_cpus: float) -> Settings:
    """As many threads as the replica has CPUs, unless said otherwise: neighbours on a node must not fight for them."""
    if settings.runner.threads:
        return settings
    threads = max(1, math.floor(num_cpus))
    return settings.model_copy(update={"runner": settings.runner.model_copy(update={"threads": threads})})


class SingleRequestId:
    """Serve names every request that has no name and appends the name to every answer: ours would be a second one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave out our `x-request-id`; it is the same, or what our log makes of a strange one."""

        async def send_without(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(k, v) for k, v in message.get("headers", ()) if k != b"x-request-id"]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_without if scope["type"] == "http" else send)


def _log_as_json() -> None:
    """Our lines go to the worker's own standard error, which Ray keeps in its log folder.

    Serve has replaced `sys.stderr`: there a line would wait for a thousand others, as a string in JSON of Serve's.
    """
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(JsonFormatter())
    ours = logging.getLogger("serving")
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False
