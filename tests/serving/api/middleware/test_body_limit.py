from collections.abc import AsyncIterator

import openai
import pytest

from serving.api.middleware.body_limit import BodyLimit
from tests.support.api import ScriptedApi


async def test_a_larger_body_is_a_413_in_openais_shape() -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        await (
            ScriptedApi()
            .openai()
            .chat.completions.create(model="scripted", messages=[{"role": "user", "content": "x" * 10_000}])
        )
    assert raised.value.status_code == 413
    assert "10000 bytes" in raised.value.message
    assert raised.value.response.headers["x-request-id"]


class _Recorder:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        self.bodies.append((await receive())["body"])  # type: ignore[operator]


async def _post(pieces: list[bytes], *, announced: int | None, limit: int = 10) -> tuple[list[bytes], list[int], int]:
    """What reached the app, the statuses sent, and how many pieces were read."""

    async def messages() -> AsyncIterator[dict[str, object]]:
        for number, piece in enumerate(pieces, start=1):
            yield {"type": "http.request", "body": piece, "more_body": number < len(pieces)}

    source, read, statuses = messages(), 0, []

    async def receive() -> dict[str, object]:
        nonlocal read
        read += 1
        return await anext(source)

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    recorder = _Recorder()
    scope = {"type": "http", "method": "POST", "headers": headers}
    await BodyLimit(recorder, longest_body_bytes=limit)(scope, receive, send)  # type: ignore[arg-type]
    return recorder.bodies, statuses, read  # type: ignore[return-value]


async def test_a_body_up_to_the_limit_arrives_in_one_piece() -> None:
    assert await _post([b"12345", b"67890"], announced=None) == ([b"1234567890"], [], 2)


async def test_a_body_that_grows_past_the_limit_without_saying_so_is_refused() -> None:
    assert await _post([b"12345", b"67890", b"1"], announced=None) == ([], [413], 3)


async def test_an_announced_size_is_refused_after_the_client_has_sent_it() -> None:
    assert await _post([b"12345", b"678901"], announced=11) == ([], [413], 2)


async def test_a_client_that_never_stops_sending_is_cut_off() -> None:
    bodies, statuses, read = await _post([b"1234567890"] * 100, announced=None)
    assert (bodies, statuses) == ([], [413])
    assert read < 12
