"""The ASGI application: routes inside, and around them the layers, in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from serving.api import failures
from serving.api.auth import KeyFile
from serving.api.frontend import Frontend
from serving.api.middleware.authentication import Authentication
from serving.api.middleware.body_limit import BodyLimit
from serving.api.middleware.error_count import ErrorCount
from serving.api.middleware.identity import Identity
from serving.api.middleware.last_resort import LastResort
from serving.api.routes import openai_routes, process_routes
from serving.telemetry.metrics import Sink


def build_api(
    frontend: Frontend,
    *,
    replica_id: str,
    sink: Sink,
    check_ready: Callable[[], None],
    longest_body_bytes: int,
    api_keys_file: Path | None = None,
    exposition: Callable[[], bytes] | None = None,
    mount_page: Callable[[FastAPI], None] | None = None,
) -> ASGIApp:
    """Everything that answers HTTP. Raises SetupError for a wrong key file.

    `exposition` gives `/metrics` (None: someone else exports), `mount_page` puts the chat page at `/ui` and leads `/` there.
    """
    app = build_routes(frontend, check_ready=check_ready, exposition=exposition, mount_page=mount_page)
    keys = KeyFile(api_keys_file) if api_keys_file is not None else None
    # The first is the innermost: a request goes up this list from the last line, and an answer down.
    layers: ASGIApp = BodyLimit(app, longest_body_bytes=longest_body_bytes)
    if keys is not None:
        layers = Authentication(layers, keys=keys)
    layers = LastResort(layers)
    layers = ErrorCount(layers, sink=sink)
    return Identity(layers, replica_id=replica_id)


def build_routes(
    frontend: Frontend,
    *,
    check_ready: Callable[[], None],
    exposition: Callable[[], bytes] | None,
    mount_page: Callable[[FastAPI], None] | None,
) -> FastAPI:
    """The routes without the layers. FastAPI's documentation pages load scripts from other hosts, so they are off."""
    app = FastAPI(title="Trainium chatbot", docs_url=None, redoc_url=None)
    failures.add_handlers(app)
    app.include_router(openai_routes(frontend))
    app.include_router(process_routes(check_ready=check_ready, exposition=exposition))
    if mount_page is not None:
        mount_page(app)
    return app
