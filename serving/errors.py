"""Every error that leaves this package, and the one table that turns it into an HTTP answer.

ChatbotError
├── RequestError                 the caller can mend it
│   ├── InvalidRequest           400, names the field
│   │   ├── PromptTooLong        400, both numbers
│   │   └── Unsupported          400, what this runner cannot do
│   ├── Unauthenticated          401
│   ├── ModelNotFound            404
│   └── BodyTooLarge             413
├── Refused                      nothing is wrong with the request: come back later
│   ├── QueueFull                429, Retry-After
│   └── Unavailable              503, Retry-After: starting, draining or unhealthy
├── GenerationFailed             500: an accepted request ended in a failure of ours
└── SetupError                   a person must change a file, a setting or a machine; never seen over HTTP
"""

from __future__ import annotations

from dataclasses import dataclass


class ChatbotError(Exception):
    """Base of all; `str(error)` is one sentence that says what to do."""


class RequestError(ChatbotError):
    """The caller can mend it."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param  # the field that is wrong; None where no single field is
        self.code = code  # OpenAI's machine-readable word, where it has one


class InvalidRequest(RequestError):
    """A field is missing, unknown or out of range."""


class PromptTooLong(InvalidRequest):
    """The prompt and the asked answer do not fit into one slot."""


class Unsupported(InvalidRequest):
    """The field is valid, but this runner cannot do it."""


class Unauthenticated(RequestError):
    """The API key is missing or wrong."""


class ModelNotFound(RequestError):
    """No such model here."""


class BodyTooLarge(RequestError):
    """The request's body exceeds the limit."""


class Refused(ChatbotError):
    """Nothing is wrong with the request: come back after `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(Refused):
    """All slots are busy and the queue is full."""


class Unavailable(Refused):
    """Starting, draining or unhealthy, or no slot came free in time."""


class GenerationFailed(ChatbotError):
    """An accepted request ended in a failure of ours; the message holds no internals."""


class SetupError(ChatbotError):
    """A file, a setting or the machine has to be changed by a person."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """How an error looks over HTTP: the status line and OpenAI's `type`."""

    status: int
    type: str
    retryable: bool


# Looked up along the error's method resolution order, so the most specific class wins.
HTTP_ANSWERS: dict[type[BaseException], HttpAnswer] = {
    InvalidRequest: HttpAnswer(400, "invalid_request_error", retryable=False),
    Unauthenticated: HttpAnswer(401, "authentication_error", retryable=False),
    ModelNotFound: HttpAnswer(404, "not_found_error", retryable=False),
    BodyTooLarge: HttpAnswer(413, "invalid_request_error", retryable=False),
    QueueFull: HttpAnswer(429, "rate_limit_error", retryable=True),
    Unavailable: HttpAnswer(503, "service_unavailable_error", retryable=True),
    BaseException: HttpAnswer(500, "server_error", retryable=True),
}


def http_answer(error: BaseException) -> HttpAnswer:
    """The answer for `error`; what the table does not name is a 500."""
    return next(HTTP_ANSWERS[cls] for cls in type(error).__mro__ if cls in HTTP_ANSWERS)
