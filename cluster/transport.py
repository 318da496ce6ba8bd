"""Requests to one API server: repeated where that is safe, each failure one sentence."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import HTTPError

from cluster.errors import ClusterError
from cluster.objects import dig, mapping, mappings, text
from cluster.watch import Event, Gone, Interrupted

REQUEST_TIMEOUT_S = (10.0, 60.0)  # to connect, to answer
_ATTEMPTS = 6
_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 5.0
_TRANSIENT = frozenset({429, 500, 502, 503, 504})

Query = list[tuple[str, str]]


class Unreachable(ClusterError):
    """No answer from the API server, also after several attempts."""


class ApiError(ClusterError):
    """The API server answered with an error; `str()` is its own sentence with what we asked for."""

    def __init__(self, status: int, message: str, body: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.reason = text(body.get("reason"))
        self.causes = mappings(dig(body, "details", "causes"))


@dataclass(frozen=True, slots=True)
class Pace:
    """Waiting between attempts: real in a command, virtual in tests."""

    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)

    def back_off(self, attempt: int) -> None:
        """Sleep before the next attempt; `attempt` counts from 0."""
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**attempt)
        self.sleep(delay * (0.5 + self.jitter() / 2))


class Transport:
    """One user's way to one API server, by the official client."""

    def __init__(self, client: ApiClient, pace: Pace) -> None:
        self._host = str(client.configuration.host)
        self._pace = pace
        # We look kinds up ourselves, one API group at a time: the client's own discovery writes a cache file.
        self._dynamic: Any = DynamicClient(client, discoverer=lambda *_: None)  # type: ignore[no-untyped-call]

    def ask(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> Mapping[str, Any]:
        """Ask until there is an answer: only for what may be repeated, which everything is that we ask.

        Reads are; so is a server-side apply, a delete that names a uid, and a review. Raises ApiError, Unreachable.
        """
        for attempt in range(_ATTEMPTS):
            last = attempt + 1 == _ATTEMPTS
            try:
                answer = self._dynamic.request(
                    method,
                    path,
                    query_params=list(query or ()),
                    body=body,
                    content_type=content_type,
                    serialize=False,
                    _request_timeout=REQUEST_TIMEOUT_S,
                )
                return mapping(json.loads(answer.data))
            except DynamicApiError as error:
                if last or error.status not in _TRANSIENT:
                    raise _api_error(error, f"{method} {path}") from error
            except (HTTPError, OSError) as error:
                if last:
                    raise Unreachable(
                        f"The API server at {self._host} does not answer ({_first_line(error)}); "
                        "check the kubeconfig, the network and the cluster."
                    ) from error
            self._pace.back_off(attempt)
        raise AssertionError("the last attempt returns or raises")

    def stream(self, path: str, query: Query, *, timeout_s: float) -> Iterator[Event]:
        """One watch connection's events until the server ends it. Raises Gone, Interrupted, ApiError; never repeats."""
        try:
            answer = self._dynamic.request(
                "get",
                path,
                query_params=query,
                serialize=False,
                _request_timeout=(REQUEST_TIMEOUT_S[0], timeout_s + REQUEST_TIMEOUT_S[0]),
            )
        except DynamicApiError as error:
            if error.status == 410:
                raise Gone from error
            if error.status in _TRANSIENT:
                raise Interrupted(str(error.reason)) from error
            raise _api_error(error, f"watch {path}") from error
        except (HTTPError, OSError) as error:
            raise Interrupted(str(error)) from error
        yield from _events(answer)


def _events(answer: Any) -> Iterator[Event]:
    try:
        for line in _lines(answer.stream(decode_content=False)):
            event = json.loads(line)
            yield Event(text(event.get("type")), mapping(event.get("object")))
    except (HTTPError, OSError, json.JSONDecodeError) as error:
        raise Interrupted(_first_line(error)) from error
    finally:
        answer.close()


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    buffer = b""
    for chunk in chunks:
        *lines, buffer = (buffer + chunk).split(b"\n")
        yield from (line for line in lines if line)


def _api_error(error: DynamicApiError, asked: str) -> ApiError:
    try:
        body = mapping(json.loads(error.body or "{}"))
    except ValueError:  # a proxy on the way answers in HTML
        body = {}
    said = text(body.get("message")) or text(error.reason)
    return ApiError(error.status or 0, f"The API server refused ({asked}): {said}", body)


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:300]
