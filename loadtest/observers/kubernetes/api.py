"""The only code here that talks to an API server: JSON by path, as the user of a kubeconfig. Reads only."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import yaml

from loadtest.errors import UsageError
from loadtest.observers import NoAnswerInTime, ObserverError
from loadtest.observers.kubernetes.objects import Object, rows

TIMEOUT_S = (3.0, 10.0)  # to connect, to answer
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Transport(Protocol):
    """One GET; the status and the body, whatever they are. Raises OSError when nobody answers, TimeoutError where he only takes his time."""

    def __call__(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Ask."""


class Refused(ObserverError):
    """The API server answers with an error."""

    def __init__(self, path: str, status: int, message: str) -> None:
        super().__init__(f"the API server answers {status} to GET {path}: {message}")
        self.status = status
        self.message = message


class Api:
    """What the observers ask for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read(
        self, path: str, query: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body. Raises Refused, NoAnswerInTime, ObserverError."""
        whole = f"{path}?{urlencode(query)}" if query else path
        try:
            status, body = self._transport(whole, headers or {})
        except TimeoutError as error:
            raise NoAnswerInTime(f"the API server gives no answer to GET {path} within {TIMEOUT_S[1]:g} s") from error
        except OSError as error:
            raise ObserverError(f"the API server does not answer: {error}") from error
        if status != 200:
            raise Refused(path, status, _message(body))
        return body

    def document(
        self, path: str, query: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The body as JSON. Raises Refused, ObserverError."""
        body = self.read(path, query, headers=headers)
        try:
            return json.loads(body)
        except ValueError as error:
            raise ObserverError(f"GET {path} answers something that is not JSON: {body[:80]!r}") from error

    def find(self, path: str) -> Object | None:
        """One object, None where there is none."""
        try:
            found: Object = self.document(path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return found

    def listing(self, path: str, *, labels: str = "", fields: str = "") -> tuple[Object, ...]:
        """The items of a collection; none of a kind that is not served. From the server's cache, which costs it little."""
        query = {"resourceVersion": "0"}
        query |= {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
        try:
            body = self.document(path, query)
        except Refused as refused:
            if refused.status == 404:
                return ()
            raise
        return tuple(rows(body.get("items")))


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """The errors that are logged meanwhile: the client only logs that a credential plugin fails, and goes on without."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            said.append(record.getMessage())
        return record.levelno < logging.ERROR

    logging.getLogger().addFilter(keep)
    try:
        yield said
    finally:
        logging.getLogger().removeFilter(keep)


def connect(kubeconfig: Path | None, context: str | None = None) -> Api:
    """With the credentials of a kubeconfig, exec plugins (EKS) included; None: where kubectl looks. Raises UsageError."""
    from kubernetes.client import ApiClient, Configuration  # a second to import, and only clusters need it
    from kubernetes.config import ConfigException, load_kube_config
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    configuration = Configuration()
    try:
        with _complaints() as complaints:
            load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig) if kubeconfig else None, context=context,
                client_configuration=configuration, persist_config=False,
            )  # fmt: skip
    except (ConfigException, OSError) as error:
        raise UsageError(f"cannot use the kubeconfig {kubeconfig or '(default)'}: {error}") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:  # the client expects no other file
        said = " ".join(str(error).split())
        raise UsageError(
            f"{kubeconfig or '(default)'} is not a kubeconfig ({said}): give one (--kubeconfig)"
        ) from error
    if complaints:
        raise UsageError(
            f"the credential plugin of the kubeconfig {kubeconfig or '(default)'} fails "
            f"({' '.join(complaints[0].split())[:300]}): mend it first, or nobody watches"
        )
    configuration.retries = False
    if urlsplit(configuration.host).hostname in _LOOPBACK:
        configuration.proxy = None
    client = ApiClient(configuration)

    def ask(path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        own = dict(headers)
        client.update_params_for_auth(own, [], ["BearerToken"], path, "GET", None)
        try:
            answer = client.rest_client.pool_manager.request(
                "GET", configuration.host + path, headers=own, timeout=_timeout(), retries=False, preload_content=True
            )
        except ReadTimeoutError as error:
            raise TimeoutError from error
        except HTTPError as error:
            raise OSError(str(error).split("\n", 1)[0][:200]) from error
        return int(answer.status), bytes(answer.data)

    return Api(ask)


def _timeout() -> Any:
    from urllib3 import Timeout

    return Timeout(connect=TIMEOUT_S[0], read=TIMEOUT_S[1])


def _message(body: bytes) -> str:
    """The sentence of a Status object, or the first words of whatever came."""
    try:
        return str(json.loads(body).get("message") or "no message")
    except (ValueError, AttributeError):
        return body[:120].decode("utf-8", "replace").strip() or "no message"
