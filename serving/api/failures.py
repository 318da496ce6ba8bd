"""Errors as HTTP answers: OpenAI's object, the status from the one table in `serving.errors`, `Retry-After` on refusals."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from serving.api.protocol import NOT_OFFERED
from serving.errors import ChatbotError, InvalidRequest, Refused, RequestError, http_answer

_log = logging.getLogger(__name__)

_INTERNAL = "The server failed on this request; the log has the details under its request id."
_LATE = "late_error_status"  # in the request's state


def error_object(error: BaseException) -> dict[str, Any]:
    """OpenAI's `{"error": …}`; what is not an error of ours tells nothing of itself."""
    request_error = error if isinstance(error, RequestError) else None
    return {
        "error": {
            "message": str(error) if isinstance(error, ChatbotError) else _INTERNAL,
            "type": http_answer(error).type,
            "param": request_error.param if request_error else None,
            "code": request_error.code if request_error else None,
        }
    }


def error_response(error: BaseException) -> Response:
    """The whole answer, with its status line."""
    answer = http_answer(error)
    headers = {}
    if isinstance(error, Refused):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if answer.status == 401:
        headers["www-authenticate"] = "Bearer"
    return _json(answer.status, error_object(error), headers)


def note_late(scope: Scope, error: BaseException) -> None:
    """Remember that this request's answer failed after its status line, for `middleware.error_count` to count."""
    scope["state"][_LATE] = http_answer(error).status


def late_status(scope: Scope) -> int | None:
    """The status that a late failure would have had; None of an answer that did not fail so."""
    status: int | None = scope.get("state", {}).get(_LATE)
    return status


def add_handlers(app: FastAPI) -> None:
    """Answer every exception of `app` in OpenAI's shape."""

    async def ours(_request: Request, error: Exception) -> Response:
        return error_response(error)

    async def wrong_fields(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
        return error_response(invalid_request(error.errors()))

    async def no_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
        message = f"{error.detail}: {request.method} {request.url.path}"
        return _json(
            error.status_code,
            {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}},
            dict(error.headers or {}),
        )

    async def unforeseen(_request: Request, error: Exception) -> Response:
        return error_response(error)  # Starlette raises it again, and `middleware.last_resort` logs it

    app.add_exception_handler(ChatbotError, ours)
    app.add_exception_handler(RequestValidationError, wrong_fields)
    app.add_exception_handler(HTTPException, no_route)
    app.add_exception_handler(Exception, unforeseen)


def invalid_request(problems: Iterable[Any]) -> RequestError:
    """The first problem that pydantic found, as an error that names its field.

    Where a field takes one of several types there is a problem for each: the one that leads deepest is meant.
    """
    first, *others = problems
    top = _field(first["loc"])
    problem = max([first, *(p for p in others if _field(p["loc"]).startswith(top))], key=lambda p: len(p["loc"]))
    field = _field(problem["loc"])
    kind = problem["type"]
    if kind == "json_invalid" or not field:
        return InvalidRequest(
            "The body must be a JSON object, sent with content-type: application/json.", code="invalid_json"
        )
    if kind == "extra_forbidden":
        return _unknown(field, problem["loc"][-1])
    if kind == "missing":
        return InvalidRequest(f"{field} is required.", param=field, code="missing_required_parameter")
    message = str(problem["msg"]).removeprefix("Value error, ")
    return InvalidRequest(f"{field}: {message[:1].lower()}{message[1:]}.", param=field, code="invalid_value")


def _unknown(field: str, name: object) -> RequestError:
    reason = NOT_OFFERED.get(str(name))
    if reason:
        return InvalidRequest(f"{field} is not supported: {reason}.", param=field, code="unsupported_parameter")
    return InvalidRequest(f"{field} is not a field of this request.", param=field, code="unknown_parameter")


# Where a field takes one of several types, pydantic adds the type that it tried to the path.
_TYPE_NAME = re.compile(r"str|int|TextPart|(list|function-after)\[.*")


def _field(location: Iterable[object]) -> str:
    """`("body", "messages", 0, "content", "str")` -> `messages[0].content`."""
    path = ""
    for part in list(location)[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not _TYPE_NAME.fullmatch(str(part)):
            path += f".{part}" if path else str(part)
    return path


def _json(status: int, content: dict[str, Any], headers: dict[str, str]) -> Response:
    # ASCII only: a name that was echoed may hold half a surrogate pair, which UTF-8 cannot carry.
    return Response(json.dumps(content), status, headers=headers, media_type="application/json")
