"""Serving the page's files: at /ui, with the headers that keep the browser from doing anything else."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from serving.errors import SetupError
from serving.page import libraries

# Trusted types make the browser refuse HTML that did not come out of DOMPurify.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # ask each time; the etag makes an unchanged file a 304
}


class _PageFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def mount_page(app: Starlette, *, lib: Path = libraries.PAGE / "lib") -> None:
    """Serve the page at /ui/ of `app` and lead `/` and `/ui` there.

    Raises SetupError where the page's libraries were not fetched.
    """
    if absent := libraries.missing(lib):
        raise SetupError(
            f"The chat page lacks {', '.join(absent)}: run `make page` (or `{libraries.FETCH}`) once, "
            "or switch the page off with CHATBOT_API__PAGE=false."
        )
    app.router.routes.extend(_routes(lib))


def _routes(lib: Path) -> list[BaseRoute]:
    return [
        Route("/", _to_page),
        Route("/ui", _to_page),
        Mount("/ui/lib", _PageFiles(directory=lib)),
        Mount("/ui", _PageFiles(directory=libraries.PAGE / "static", html=True)),
    ]


async def _to_page(_: Request) -> Response:
    # Relative, so that it holds behind any outer path prefix, scheme and host name.
    return RedirectResponse("ui/")
