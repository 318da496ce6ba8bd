"""A replica's own lines about its start."""

from __future__ import annotations

import json

import pytest

from loadtest.observers import ObserverError
from loadtest.observers.startup import Startup, parse, read

LINE = '{"time": "2026-11-24T12:21:44.215+00:00", "level": "INFO", "logger": "serving.startup", "message": "start-up stage passed", "stage": "runner", "took_s": 4.561}'


def line(message: str, stage: str) -> str:
    return json.dumps({"time": "2026-11-24T12:21:45.000+00:00", "message": message, "stage": stage})


def test_the_models_instant_is_that_of_its_line() -> None:
    start = parse(["I1124 12:21:39 other things {", LINE, line("start-up stage passed", "tokenizer")])
    assert start.loaded_unix_s == pytest.approx(1795522904.215)
    assert (start.took_s, start.passed) == (4.561, ("runner", "tokenizer"))


def test_the_innermost_stage_that_failed_is_the_one_that_is_told() -> None:
    start = parse([line("start-up stage failed", "weights"), line("start-up stage failed", "runner")])
    assert start == Startup(failed="weights")


def test_a_start_beyond_its_budget_names_the_stage_that_ran() -> None:
    assert parse([line("start-up exceeds its budget", "graphs")]).over_budget == "graphs"


@pytest.mark.parametrize("cut", [LINE[10:], LINE[:-5], '{"message": "start-up stage passed"}', "[]"])
def test_a_line_that_is_cut_off_says_nothing(cut: str) -> None:
    assert parse([cut]) == Startup()


def test_the_log_is_asked_for_by_actor() -> None:
    class Log:
        def read(self, path: str, query: object = None) -> bytes:
            assert (path, query) == ("/api/v0/logs/file", {"actor_id": "a1", "suffix": "err", "lines": "400"})
            return LINE.encode()

    assert read(Log(), "a1").took_s == 4.561


def test_a_log_that_cannot_be_had_is_the_dashboards_error() -> None:
    class Silent:
        def read(self, path: str, query: object = None) -> bytes:
            raise ObserverError("no")

    with pytest.raises(ObserverError):
        read(Silent(), "a1")
