"""The paths, and what each of them calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.api.call import Caller
from serving.api.frontend import Frontend
from serving.api.limits import check_model
from serving.api.protocol import ChatCompletionRequest, CompletionRequest


def openai_routes(frontend: Frontend) -> APIRouter:
    """OpenAI's endpoints."""
    router = APIRouter(prefix="/v1", tags=["openai"])
    spec = frontend.spec

    @router.post("/chat/completions", summary="Answer a conversation", response_class=Response)
    async def chat_completions(asked: ChatCompletionRequest, request: Request) -> Response:
        return await frontend.chat(asked, _caller(request))

    @router.post("/completions", summary="Go on from a text", response_class=Response)
    async def completions(asked: CompletionRequest, request: Request) -> Response:
        return await frontend.complete(asked, _caller(request))

    def entry() -> dict[str, Any]:
        return {
            "id": spec.model_id,
            "object": "model",
            "created": frontend.started_at,
            "owned_by": "trainium-chatbot",
            "max_model_len": spec.positions,
        }

    @router.get("/models", summary="The served model, as a list")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [entry()]}

    @router.get("/models/{model_id:path}", summary="The served model")
    async def model(model_id: str) -> dict[str, Any]:
        check_model(model_id, spec)
        return entry()

    return router


def process_routes(*, check_ready: Callable[[], None], exposition: Callable[[], bytes] | None) -> APIRouter:
    """What supervisors and scrapers ask.

    `check_ready` raises Unavailable with the reason when no chat request would be answered; `exposition` is None where
    someone else exports the metrics.
    """
    router = APIRouter(tags=["process"])

    @router.get("/health", summary="The process is alive")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/ready", summary="A prefill and a decode have passed, and requests are accepted")
    async def ready() -> dict[str, str]:
        check_ready()
        return {"status": "ready"}

    if exposition is not None:

        @router.get("/metrics", summary="Metrics in Prometheus' text format", response_class=Response)
        async def metrics() -> Response:
            return Response(exposition(), media_type="text/plain; version=0.0.4")

    return router


def _caller(request: Request) -> Caller:
    state = request.scope["state"]
    return Caller(request_id=state["request_id"], key=state.get("key"))
