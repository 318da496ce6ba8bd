from __future__ import annotations

from playwright.sync_api import expect

from tests.support.chat_page import ChatPage
from tests.support.scripted_chat import End, Hold, Raw, Say


def roles(chat: ChatPage) -> list[str]:
    return [message["role"] for message in chat.api.calls[-1].body["messages"]]


def test_tokens_appear_while_the_answer_is_still_being_written(chat: ChatPage) -> None:
    chat.api.answer_with(Say("Light "), Hold(), Say("scatters."), Hold(), End(completion_tokens=12))
    chat.ask("Why is the sky blue?")
    expect(chat.answer).to_have_text("Light")
    expect(chat.button("Stop")).to_be_visible()
    expect(chat.page.get_by_role("log")).to_have_attribute("aria-busy", "true")
    chat.api.proceed()
    expect(chat.answer).to_have_text("Light scatters.")
    chat.api.proceed()
    expect(chat.page.locator(".info")).to_contain_text("12 tokens in")
    expect(chat.button("Send")).to_be_visible()
    expect(chat.page.get_by_role("log")).to_have_attribute("aria-busy", "false")
    assert chat.api.calls[0].body == {
        "model": "test-model",
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_stop_keeps_what_has_arrived_and_cancels_at_the_server(chat: ChatPage) -> None:
    chat.api.answer_with(Say("One two"), Hold(), End())
    chat.ask("Count")
    expect(chat.answer).to_have_text("One two")
    chat.button("Stop").click()
    expect(chat.note).to_have_text("Stopped.")
    expect(chat.answer).to_have_text("One two")
    expect(chat.message).to_be_focused()
    assert chat.api.calls[0].left.wait(timeout=30)


def test_escape_stops_before_the_first_token_and_the_turn_is_not_sent_again(chat: ChatPage) -> None:
    chat.api.answer_with(Raw(": heartbeat\n\n"), Hold(), End())
    with chat.page.expect_response("**/chat/completions"):  # before it, the script would be left for the second turn
        chat.ask("First")
    expect(chat.button("Stop")).to_be_visible()
    expect(chat.page.locator("#status")).to_have_text("Answering…")
    chat.page.keyboard.press("Escape")
    expect(chat.note).to_have_text("Stopped before the answer began.")
    chat.ask("Second")
    expect(chat.answer).to_have_text("An answer.")
    assert chat.api.calls[-1].body["messages"] == [{"role": "user", "content": "Second"}]


def test_a_conversation_is_sent_with_its_answers(chat: ChatPage) -> None:
    chat.ask("First")
    expect(chat.answer).to_have_text("An answer.")
    chat.ask("Second")
    expect(chat.page.locator(".answer .text")).to_have_text(["An answer.", "An answer."])
    assert roles(chat) == ["user", "assistant", "user"]


def test_retry_asks_the_same_again_and_replaces_the_answer(chat: ChatPage) -> None:
    chat.api.answer_with(Say("Wrong."), End())
    chat.api.answer_with(Say("Right."), End())
    chat.ask("Say right")
    expect(chat.answer).to_have_text("Wrong.")
    chat.button("Retry").click()
    expect(chat.page.locator(".answer .text")).to_have_text(["Right."])
    assert [call.body["messages"] for call in chat.api.calls] == [[{"role": "user", "content": "Say right"}]] * 2


def test_only_the_last_answer_can_be_retried(chat: ChatPage) -> None:
    chat.ask("First")
    expect(chat.button("Retry")).to_be_visible()
    chat.ask("Second")
    expect(chat.page.locator(".turn").nth(1).get_by_role("button", name="Retry")).to_be_visible()
    expect(chat.page.locator(".turn").nth(0).get_by_role("button", name="Retry")).to_be_hidden()


def test_an_answer_at_its_longest_says_that_it_was_cut_off(chat: ChatPage) -> None:
    chat.api.answer_with(Say("And then"), End(finish_reason="length"))
    chat.ask("Tell a story")
    expect(chat.note).to_contain_text("Cut off")


def test_an_empty_answer_says_so(chat: ChatPage) -> None:
    chat.api.answer_with(End())
    chat.ask("Say nothing")
    expect(chat.note).to_have_text("The model gave an empty answer.")


def test_shift_enter_breaks_the_line_and_enter_sends(chat: ChatPage) -> None:
    chat.message.press_sequentially("one")
    chat.message.press("Shift+Enter")
    chat.message.press_sequentially("two")
    chat.message.press("Enter")
    expect(chat.answer).to_have_text("An answer.")
    assert chat.api.calls[0].body["messages"][0]["content"] == "one\ntwo"
    expect(chat.message).to_have_value("")


def test_a_second_message_waits_while_an_answer_is_being_written(chat: ChatPage) -> None:
    chat.api.answer_with(Say("Slow"), Hold(), End())
    chat.ask("First")
    expect(chat.answer).to_have_text("Slow")
    chat.ask("Second")
    expect(chat.message).to_have_value("Second")
    chat.api.proceed()
    expect(chat.button("Send")).to_be_visible()
    assert len(chat.api.calls) == 1


def test_an_example_is_sent_with_one_click(chat: ChatPage) -> None:
    chat.page.locator("#examples button").first.click()
    expect(chat.answer).to_have_text("An answer.")
    expect(chat.page.locator("#empty")).to_be_hidden()


def test_new_chat_stops_the_answer_and_begins_empty(chat: ChatPage) -> None:
    chat.api.answer_with(Say("Old"), Hold(), End())
    chat.ask("First")
    expect(chat.answer).to_have_text("Old")
    chat.button("New chat").click()
    expect(chat.page.locator("#empty")).to_be_visible()
    assert chat.api.calls[0].left.wait(timeout=30)
    chat.ask("Second")
    expect(chat.page.locator(".answer .text")).to_have_text(["An answer."])
    assert roles(chat) == ["user"]


def test_an_answer_can_be_copied_as_it_was_written(chat: ChatPage) -> None:
    chat.api.answer_with(Say("**bold**\n\n```python\nx = 1\n```"), End())
    chat.ask("Code, please")
    expect(chat.page.locator(".code-top span")).to_have_text("python")
    chat.page.locator(".code").get_by_role("button", name="Copy").click()
    expect(chat.page.locator(".code").get_by_role("button", name="Copied")).to_be_visible()
    assert chat.page.evaluate("navigator.clipboard.readText()") == "x = 1"
    chat.page.locator(".actions").get_by_role("button", name="Copy").click()
    chat.page.locator(".actions").get_by_role("button", name="Copied").wait_for()
    assert chat.page.evaluate("navigator.clipboard.readText()") == "**bold**\n\n```python\nx = 1\n```"


def test_the_end_stays_in_sight_unless_the_person_scrolls_away(chat: ChatPage) -> None:
    lines = "line\n\n" * 60
    chat.api.answer_with(Say(lines), Hold(), Say(lines + "the end"), Hold(), Say(lines + "last"), End())
    chat.ask("Many lines")
    expect(chat.button("Stop")).to_be_visible()
    chat.api.proceed()
    expect(chat.page.get_by_text("the end")).to_be_in_viewport()
    chat.page.get_by_role("log").evaluate("(log) => (log.scrollTop = 0)")
    expect(chat.button("Latest")).to_be_visible()
    chat.api.proceed()
    expect(chat.button("Send")).to_be_visible()
    expect(chat.page.get_by_text("last")).not_to_be_in_viewport()
    chat.button("Latest").click()
    expect(chat.page.get_by_text("last")).to_be_in_viewport()
    expect(chat.button("Latest")).to_be_hidden()


def test_behind_an_outer_path_prefix_the_page_and_its_api_still_work(chat: ChatPage) -> None:
    chat.page.goto(f"{chat.address}/behind/a/prefix/ui")
    assert chat.page.url == f"{chat.address}/behind/a/prefix/ui/"
    chat.ask("Hello")
    expect(chat.answer).to_have_text("An answer.")
    assert chat.asked[-1] == f"{chat.address}/behind/a/prefix/v1/chat/completions"
