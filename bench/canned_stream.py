"""A FastAPI app that streams events that cost nothing to make: what is left is the path they take.

`python -m bench.canned_stream PORT` serves it by uvicorn; `build_app` makes Serve serve the same app, by one deployment.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

EVENT = (
    b'data: {"id": "chatcmpl-0", "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": null}]}\n\n'
)

app = FastAPI()


@app.post("/stream")
async def stream(tokens: int) -> StreamingResponse:
    """That many events, then the end mark."""
    return StreamingResponse(_events(tokens), media_type="text/event-stream")


async def _events(tokens: int) -> AsyncIterator[bytes]:
    for _ in range(tokens):
        yield EVENT
        await asyncio.sleep(0)  # as a real token would: the next event is another turn of the loop
    yield b"data: [DONE]\n\n"


def build_app(_args: Mapping[str, Any]) -> Any:
    """The Serve application, with the options that the chatbot's deployment has."""
    from ray import serve

    deployment = serve.deployment(serve.ingress(app)(_Canned), name="Canned")
    return deployment.options(max_ongoing_requests=124, ray_actor_options={"num_cpus": 0.5}).bind()


class _Canned:
    """Serve wants a class."""


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
