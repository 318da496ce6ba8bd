"""Ray's dashboard over HTTP; on a cluster the same through the API server (`kubernetes.dashboard`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from loadtest.errors import UsageError
from loadtest.observers import NoAnswerInTime, ObserverError
from loadtest.settings import LOOPBACK

TOKEN_HEADER = "x-ray-authorization"  # noqa: S105 - a header's name


class Dashboard(Protocol):
    """Something that answers Ray's REST paths."""

    def read(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET. Raises ObserverError."""


class HttpDashboard:
    """By its address, with Ray's token where it wants one."""

    def __init__(self, url: str, *, token: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        """Raises UsageError when `url` is no address."""
        headers = {TOKEN_HEADER: f"Bearer {token}"} if token else {}
        # A proxy of the environment cannot reach this machine's loopback, and need not.
        proxies = _host(url) not in LOOPBACK
        self._http = httpx.Client(base_url=url, headers=headers, timeout=5, transport=transport, trust_env=proxies)

    def read(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET. Raises ObserverError."""
        try:
            answer = self._http.get(path, params=dict(query or {}))
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            hint = ": give Ray's token (--dashboard-token-file)" if error.response.status_code in (401, 403) else ""
            raise ObserverError(f"Ray's dashboard answers {error.response.status_code}{hint}") from error
        except httpx.ReadTimeout as error:
            raise NoAnswerInTime(
                f"no answer from Ray's dashboard at {self._http.base_url} to {path} in time"
            ) from error
        except httpx.HTTPError as error:
            raise ObserverError(f"Ray's dashboard at {self._http.base_url} does not answer: {error}") from error
        return answer.content

    def close(self) -> None:
        """Close what is idle."""
        self._http.close()


def _host(url: str) -> str:
    """Of an address that can be asked; else a load would run to its end with nobody watching."""
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        found = httpx.URL()
    if not found.host or found.scheme not in ("http", "https"):
        raise UsageError(f"`{url}` is no address of Ray's dashboard: give http://HOST:PORT")
    return found.host


def document(dashboard: Dashboard, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """The object that a path answers. Raises ObserverError."""
    try:
        found = json.loads(dashboard.read(path, query))
    except ValueError as error:
        raise ObserverError(f"Ray's dashboard answers something that is not JSON to {path}: {error}") from error
    if not isinstance(found, dict):
        raise ObserverError("Ray's dashboard answers something that is not an object")
    return found
