from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.chat_page import ChatPage
from tests.support.scripted_chat import End, Hold, Say


def test_a_reload_keeps_the_conversation_and_goes_on_with_it(chat: ChatPage) -> None:
    chat.api.answer_with(Say("**Kept**"), End())
    chat.ask("First")
    expect(chat.answer).to_have_text("Kept")
    chat.page.reload()
    expect(chat.page.locator(".question")).to_contain_text("First")
    expect(chat.answer.locator("strong")).to_have_text("Kept")
    chat.ask("Second")
    expect(chat.answer).to_have_text("An answer.")
    assert [m["content"] for m in chat.api.calls[-1].body["messages"]] == ["First", "**Kept**", "Second"]


def test_a_reload_in_the_middle_keeps_the_part_and_stops_the_server(chat: ChatPage) -> None:
    chat.api.answer_with(Say("Half an"), Hold(), End())
    chat.ask("First")
    expect(chat.answer).to_have_text("Half an")
    chat.page.reload()
    expect(chat.answer).to_have_text("Half an")
    expect(chat.note).to_have_text("Stopped.")
    assert chat.api.calls[0].left.wait(timeout=30)
    expect(chat.button("Send")).to_be_visible()


def test_new_chat_forgets(chat: ChatPage) -> None:
    chat.ask("First")
    expect(chat.answer).to_have_text("An answer.")
    chat.button("New chat").click()
    chat.page.reload()
    expect(chat.page.locator("#empty")).to_be_visible()


def test_another_tab_follows(chat: ChatPage, visit: Callable[[Page], ChatPage]) -> None:
    other = visit(chat.page.context.new_page())
    other.open()
    chat.ask("First")
    expect(chat.answer).to_have_text("An answer.")
    expect(other.answer).to_have_text("An answer.")


def test_a_conversation_beyond_the_limit_says_what_will_be_lost(chat: ChatPage) -> None:
    long_answer = "word " * 130_000  # two of them exceed the limit
    store(chat, [long_answer])
    chat.page.reload()
    chat.ask("And now?")
    expect(chat.answer).to_have_text("An answer.")
    expect(chat.button("Send")).to_be_visible()  # the page has saved its turns for the last time
    expect(chat.page.locator("#notice")).to_have_text("")
    store(chat, [long_answer, long_answer])
    chat.page.reload()
    chat.ask("And now?")
    expect(chat.page.locator("#notice")).to_contain_text("its first question and answer will be gone after a reload")
    chat.page.reload()
    expect(chat.page.locator(".turn")).to_have_count(2)
    chat.button("New chat").click()
    expect(chat.page.locator("#notice")).to_have_text("")


def test_a_browser_that_keeps_nothing_says_so_and_still_chats(chat: ChatPage) -> None:
    chat.page.add_init_script(
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }"
    )
    chat.page.reload()
    chat.ask("Hello")
    expect(chat.answer).to_have_text("An answer.")
    expect(chat.page.locator("#notice")).to_contain_text("it will be gone after a reload")


def test_a_history_that_somebody_else_wrote_is_ignored(chat: ChatPage) -> None:
    for stored in ("{nonsense", "null", '[1, {"question": 5}]', '{"a": 1}'):
        chat.page.evaluate("(text) => localStorage.setItem('chat.turns', text)", stored)
        chat.page.reload()
        expect(chat.page.locator("#empty")).to_be_visible()


def store(chat: ChatPage, answers: list[str]) -> None:
    chat.page.evaluate(
        """(answers) => localStorage.setItem("chat.turns", JSON.stringify(
            answers.map((answer) => ({ question: "Write", answer, state: "complete", note: "", info: "" }))))""",
        answers,
    )
