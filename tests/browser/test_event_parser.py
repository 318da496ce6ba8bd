from __future__ import annotations

from typing import Any

import pytest

from tests.support.chat_page import ChatPage


def parse(chat: ChatPage, *pieces: str) -> Any:
    return chat.page.evaluate(
        """async (pieces) => {
            const { EventParser } = await import("./js/sse.js");
            const parser = new EventParser();
            return pieces.flatMap((piece) => parser.push(piece)).map(({ event, data }) => [event, data]);
        }""",
        list(pieces),
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_of_the_standard_is_understood_wherever_the_text_is_cut(end: str, chat: ChatPage) -> None:
    text = (
        end.join([": comment", "data: one", "", "event: error", "data:two", "data: three", "", "id: 7", "", "data: x"])
        + end
    )
    expected = [["message", "one"], ["error", "two\nthree"]]
    assert parse(chat, text) == expected
    assert parse(chat, *text) == expected


def test_an_event_is_complete_only_with_its_empty_line(chat: ChatPage) -> None:
    assert parse(chat, "data: a\n") == []
    assert parse(chat, "data: a\n", "\n") == [["message", "a"]]
