"""One structured line for each request that was accepted, when it has ended. Never a word of prompt or answer."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

_log = logging.getLogger("serving.requests")


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What is remembered of a request; of several choices the longest times and the sum of tokens."""

    request_id: str
    answer_id: str  # `id` of the answer
    endpoint: str  # chat.completions or completions
    status: int  # as the client saw it; 499: it left before the end
    finish_reason: str  # of all choices, joined by commas; `failed` or `cancelled` where there is no OpenAI word
    choices: int
    streamed: bool
    prompt_tokens: int
    completion_tokens: int
    queue_s: float
    prefill_s: float
    decode_s: float
    total_s: float  # from the request's arrival here to the last token
    key: str | None  # the API key's name; None without keys
    user: str | None  # OpenAI's `user` field, as the client sent it
    error: str | None  # the sentence that the client saw


def log_request(record: RequestRecord) -> None:
    """Write it, at a level that says whether it is ours to worry about."""
    level = logging.ERROR if record.error and record.status != 499 else logging.INFO
    _log.log(level, "request finished", extra=asdict(record))


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON: time, level, logger, message, and whatever `extra` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
