import json
import logging
import sys
from dataclasses import asdict, replace

import pytest

from serving.telemetry.request_log import JsonFormatter, RequestRecord, log_request

RECORD = RequestRecord(
    request_id="r",
    answer_id="chatcmpl-1",
    endpoint="chat.completions",
    status=200,
    finish_reason="stop",
    choices=1,
    streamed=True,
    prompt_tokens=3,
    completion_tokens=4,
    queue_s=0.1,
    prefill_s=0.2,
    decode_s=0.3,
    total_s=0.6,
    key="ann",
    user=None,
    error=None,
)


def test_a_finished_request_is_one_line_of_json_with_every_field(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_request(RECORD)
    (record,) = caplog.records
    text = JsonFormatter().format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "serving.requests", "request finished")
    assert {name: line[name] for name in asdict(RECORD)} == asdict(RECORD)


@pytest.mark.parametrize(("status", "level"), [(200, "ERROR"), (500, "ERROR"), (499, "INFO")])
def test_a_failure_of_ours_is_an_error_and_a_client_who_left_is_not(
    status: int, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        log_request(replace(RECORD, status=status, error="It failed."))
    assert caplog.records[0].levelname == level


def test_an_exception_is_part_of_its_line() -> None:
    try:
        raise ValueError("x")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    line = json.loads(JsonFormatter().format(record))
    assert line["exception"].endswith("ValueError: x")
