from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page


def parse(modules: Page, *pieces: str) -> Any:
    return modules.evaluate(
        """async (pieces) => {
            const { EventParser } = await import("./js/sse.js");
            const parser = new EventParser();
            return pieces.flatMap((piece) => parser.push(piece)).map(({ event, data }) => [event, data]);
        }""",
        list(pieces),
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_of_the_standard_is_understood_wherever_the_text_is_cut(end: str, modules: Page) -> None:
    text = (
        end.join([": comment", "data: one", "", "event: error", "data:two", "data: three", "", "id: 7", "", "data: x"])
        + end
    )
    expected = [["message", "one"], ["error", "two\nthree"]]
    assert parse(modules, text) == expected
    assert parse(modules, *text) == expected


def test_an_event_is_complete_only_with_its_empty_line(modules: Page) -> None:
    assert parse(modules, "data: a\n") == []
    assert parse(modules, "data: a\n", "\n") == [["message", "a"]]
