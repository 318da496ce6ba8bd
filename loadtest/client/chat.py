"""One chat request from its first byte to its last: send, read, stamp, tell the outcomes apart."""

from __future__ import annotations

import json
from collections.abc import Callable

import gevent
import gevent.socket
from geventhttpclient.response import HTTPParseError

from loadtest.client.answer import UNAUTHORIZED, Answer
from loadtest.client.connection import READ_BYTES, ConnectionPool, Endpoint, Response
from loadtest.client.sse import EventDecoder
from loadtest.errors import TargetAbsent
from loadtest.prompts import ChatRequest
from loadtest.record import Outcome
from loadtest.settings import GIVE_A_KEY
from loadtest.spec import Sending

PATH = "/v1/chat/completions"
_HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream"}


class _Stale(Exception):
    """A reused connection closed before any byte of the answer."""


class ChatClient:
    """Asks one endpoint; safe for any number of greenlets of one process."""

    def __init__(self, endpoint: Endpoint, sending: Sending, *, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._sending = sending
        self._clock = clock
        self._pool = ConnectionPool(
            endpoint, connect_timeout_s=sending.connect_timeout_s, reuse=sending.reuse_connections
        )
        self._model: str | None = sending.model

    def prepare(self) -> str:
        """The model that will be asked. Raises TargetAbsent when nothing answers."""
        if self._model is None:
            self._model = self._first_model()
        return self._model

    def ask(self, request: ChatRequest, answer: Answer) -> None:
        """Fill `answer`, whatever becomes of it; sent again where the profile and the server's Retry-After say so."""
        try:
            body = request.body(self.prepare())
        except TargetAbsent as error:
            answer.stopped, answer.error, answer.ended_s = Outcome.CONNECT_ERROR, str(error), self._clock()
            return
        payload = self._endpoint.request("POST", PATH, body=body, headers=_HEADERS)
        for _ in range(1 + self._sending.most_retries):
            answer.attempts += 1
            self._attempt(payload, answer, request.cancel_after_tokens)
            wait_s = answer.retry_after_s() if self._sending.honour_retry_after else None
            if wait_s is None or answer.outcome() not in (Outcome.RATE_LIMITED, Outcome.UNAVAILABLE):
                break
            if answer.attempts <= self._sending.most_retries:
                gevent.sleep(wait_s)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def _attempt(self, payload: bytes, answer: Answer, cancel_after_tokens: int | None) -> None:
        limit = gevent.Timeout(self._sending.timeout_s)
        with limit:
            try:
                self._exchange(payload, answer, cancel_after_tokens)
            except gevent.Timeout as fired:
                if fired is not limit:
                    raise
                answer.stopped = Outcome.TIMEOUT
                answer.error = f"not done {self._sending.timeout_s:g} s after it was sent"
            except OSError as error:
                answer.stopped = Outcome.CONNECT_ERROR
                answer.error = f"{type(error).__name__}: {error}"
        answer.ended_s = self._clock()

    def _exchange(self, payload: bytes, answer: Answer, cancel_after_tokens: int | None) -> None:
        sock, reused = self._pool.take()
        try:
            self._converse(sock, payload, answer, reused=reused, cancel_after_tokens=cancel_after_tokens)
        except _Stale:
            answer.stale_connections += 1
            fresh = self._pool.fresh()
            self._converse(fresh, payload, answer, reused=False, cancel_after_tokens=cancel_after_tokens)

    def _converse(
        self,
        sock: gevent.socket.socket,
        payload: bytes,
        answer: Answer,
        *,
        reused: bool,
        cancel_after_tokens: int | None,
    ) -> None:
        """Send once and read to the end on one socket. Raises _Stale; OSError before the first byte."""
        response = Response()
        try:
            self._send(sock, payload, answer, reused=reused)
            self._read(sock, response, answer, reused=reused, cancel_after_tokens=cancel_after_tokens)
        finally:
            if response.should_close():
                sock.close()
            else:
                self._pool.give_back(sock)

    def _send(self, sock: gevent.socket.socket, payload: bytes, answer: Answer, *, reused: bool) -> None:
        try:
            sock.sendall(payload)
        except ConnectionError:
            if reused:
                raise _Stale from None
            raise
        if answer.sent_s is None:
            answer.sent_s = self._clock()

    def _read(
        self,
        sock: gevent.socket.socket,
        response: Response,
        answer: Answer,
        *,
        reused: bool,
        cancel_after_tokens: int | None,
    ) -> None:
        events = EventDecoder()
        begun = False
        while not response.message_complete:
            data, at_s = self._receive(sock, began=begun, reused=reused)
            if not data:
                return  # cut off: the answer lacks its end, and says so
            try:
                response.feed(data)
            except HTTPParseError as error:
                answer.fail_stream(f"not HTTP: {error}")
                return
            if not response.headers_complete:
                continue
            if not begun:
                begun = True
                answer.begin(response.status_code, response.fields())
            if answer.status != 200:
                continue
            for event in events.feed(response.take_body()):
                answer.on_event(event, at_s)
            if cancel_after_tokens is not None and len(answer.token_s) >= cancel_after_tokens:
                answer.stopped = Outcome.CANCELLED
                return
        if answer.status != 200:
            answer.on_error_body(response.take_body())

    def _receive(self, sock: gevent.socket.socket, *, began: bool, reused: bool) -> tuple[bytes, float]:
        """The next bytes and their instant; empty when the other side is gone in the middle of an answer."""
        try:
            data = sock.recv(READ_BYTES)
        except ConnectionError:
            data = b""
        at_s = self._clock()
        if not data and not began:
            if reused:
                raise _Stale
            raise ConnectionResetError("closed before any byte of an answer")
        return data, at_s

    def _first_model(self) -> str:
        """GET /v1/models, on a connection of its own."""
        payload = self._endpoint.request("GET", "/v1/models", headers={"Connection": "close"})
        response = Response()
        try:
            with gevent.Timeout(self._sending.connect_timeout_s * 2, TimeoutError("no answer in time")):
                sock = self._pool.fresh()
                try:
                    sock.sendall(payload)
                    while not response.message_complete and (data := sock.recv(READ_BYTES)):
                        response.feed(data)
                finally:
                    sock.close()
            if response.status_code == UNAUTHORIZED:
                raise TargetAbsent(f"{self._endpoint} answers 401: {GIVE_A_KEY}")
            document = json.loads(response.take_body())
            if response.status_code != 200:
                raise TargetAbsent(f"{self._endpoint}/v1/models answers {response.status_code}: {document}")
            return str(document["data"][0]["id"])
        except (OSError, ValueError, LookupError, TypeError, HTTPParseError) as error:
            raise TargetAbsent(
                f"no chatbot answers at {self._endpoint}/v1/models ({error}): deploy it first"
            ) from error
