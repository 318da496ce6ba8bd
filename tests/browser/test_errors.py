from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.chat_page import ChatPage
from tests.support.scripted_chat import Break, End, Hold, Raw, Refuse, Say

BROKEN = "The connection broke before the answer was complete."


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (
            Refuse.openai(429, "All slots are busy", retry_after="12"),
            "The server is busy. All slots are busy. Try again in 12 seconds.",
        ),
        (
            Refuse.openai(503, "The model is being loaded", retry_after="180"),
            "The server is not ready or full. The model is being loaded. Try again in 3 minutes.",
        ),
        (
            Refuse.openai(400, "The prompt has 2100 tokens, 2048 fit", code="context_length_exceeded"),
            "The server did not accept the request. The prompt has 2100 tokens, 2048 fit. Start a new chat, or write less.",
        ),
        (Refuse(503, "Request dropped due to backpressure"), "The server is not ready or full."),
        (Refuse(500, "Internal Server Error"), "The server failed while answering."),
        (Refuse(500, "disk full"), "The server failed while answering. disk full."),
        (Refuse(502, "<html><h1>Bad</h1></html>", "text/html"), "The server did not answer."),
        (Refuse(422, '{"detail": [{"msg": "x"}]}', "application/json"), "The request failed (HTTP 422)."),
        (Refuse(418, "null", "application/json"), "The request failed (HTTP 418)."),
        (Refuse(200, "<html>Sign in</html>", "text/html"), "The server sent something that is not a chat answer."),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Refuse) else "",
)
def test_a_refusal_is_said_in_words(refusal: Refuse, text: str, chat: ChatPage) -> None:
    chat.api.refuse_with(refusal)
    chat.ask("Hello")
    expect(chat.note).to_have_text(text)
    chat.button("Retry").click()
    expect(chat.answer).to_have_text("An answer.")
    expect(chat.note).to_have_text("")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ('data: {"error": {"message": "The runner stopped", "type": "server_error"}}\n\n', "The runner stopped."),
        ('event: error\ndata: {"message": "Out of memory"}\n\n', "Out of memory."),
        ("event: error\ndata: worn out\n\n", "worn out."),
    ],
)
def test_an_error_event_ends_the_answer_and_keeps_what_was_there(event: str, text: str, chat: ChatPage) -> None:
    chat.api.answer_with(Say("Half an"), Raw(event), Hold(), End())
    chat.ask("Hello")
    expect(chat.note).to_have_text(f"The server failed while answering. {text}")
    expect(chat.answer).to_have_text("Half an")
    assert chat.api.calls[0].left.wait(timeout=30)


def test_a_broken_connection_is_named_and_the_part_is_kept(chat: ChatPage) -> None:
    chat.api.answer_with(Say("Half an"), Hold(), Break())
    chat.ask("Hello")
    expect(chat.answer).to_have_text("Half an")
    chat.api.proceed()
    expect(chat.note).to_have_text(BROKEN)
    expect(chat.answer).to_have_text("Half an")


def test_a_stream_that_ends_without_done_is_not_taken_for_an_answer(chat: ChatPage) -> None:
    chat.api.answer_with(Say("Half an"))
    chat.ask("Hello")
    expect(chat.note).to_have_text(BROKEN)


def test_nonsense_in_the_stream_is_named(chat: ChatPage) -> None:
    chat.api.answer_with(Raw("data: {nonsense\n\n"), End())
    chat.ask("Hello")
    expect(chat.note).to_have_text("The server sent something that is not a chat answer.")


def test_a_server_out_of_reach_is_named_and_a_retry_finds_it_again(chat: ChatPage) -> None:
    chat.page.context.set_offline(True)
    chat.ask("Hello")
    expect(chat.note).to_contain_text("The server cannot be reached.")
    chat.page.context.set_offline(False)
    chat.button("Retry").click()
    expect(chat.answer).to_have_text("An answer.")


def test_a_question_that_failed_is_left_out_of_the_next_request(chat: ChatPage) -> None:
    chat.api.refuse_with(Refuse(500, "Internal Server Error"))
    chat.ask("First")
    expect(chat.note).to_contain_text("failed")
    chat.ask("Second")
    expect(chat.answer).to_have_text("An answer.")
    assert chat.api.calls[-1].body["messages"] == [{"role": "user", "content": "Second"}]


def test_a_missing_key_opens_the_field_and_the_key_stays_in_this_tab(chat: ChatPage) -> None:
    chat.api.api_key = "secret"
    chat.page.reload()
    expect(chat.page.locator("#notice")).to_have_text(
        "The API key is missing or wrong: enter one above, under API key."
    )
    field = chat.page.get_by_label("API key", exact=True)
    expect(field).to_be_focused()
    field.fill("secret")
    field.press("Enter")
    expect(chat.page.locator("#notice")).to_have_text("")
    chat.ask("Hello")
    expect(chat.answer).to_have_text("An answer.")
    assert chat.api.calls[0].authorization == "Bearer secret"
    assert "secret" in chat.page.evaluate("JSON.stringify(sessionStorage)")
    assert "secret" not in chat.page.evaluate("JSON.stringify(localStorage)")
    chat.page.reload()
    expect(chat.page.locator("#key-summary")).to_have_text("API key ✓")


def test_a_model_that_is_gone_is_replaced_by_the_one_that_is_served_now(chat: ChatPage) -> None:
    chat.api.models = ["newer-model"]
    chat.api.refuse_with(Refuse.openai(404, "There is no test-model here", code="model_not_found"))
    chat.ask("Hello")
    expect(chat.page.locator("#model")).to_have_text("newer-model")
    chat.button("Retry").click()
    expect(chat.answer).to_have_text("An answer.")
    assert chat.api.calls[-1].body["model"] == "newer-model"


def test_a_list_of_models_that_failed_is_asked_for_again_with_the_question(chat: ChatPage) -> None:
    chat.api.models = Refuse(503, "Request dropped due to backpressure")
    chat.page.reload()
    expect(chat.page.locator("#notice")).to_have_text("The server is not ready or full.")
    chat.api.models = ["test-model"]
    chat.ask("Hello")
    expect(chat.answer).to_have_text("An answer.")
    assert chat.api.calls[0].body["model"] == "test-model"


def test_a_simulated_model_is_called_so_by_its_name(chat: ChatPage) -> None:
    expect(chat.page.locator("#simulated")).to_be_hidden()
    chat.api.models = ["trn1.2xlarge-mistral-7b-simulated"]
    chat.page.reload()
    expect(chat.page.locator("#simulated")).to_contain_text("Simulated.")


def test_a_simulated_answer_is_called_so_by_its_fingerprint(chat: ChatPage) -> None:
    chat.api.fingerprint = "simulated-trn1"
    chat.ask("Hello")
    expect(chat.page.locator("#simulated")).to_contain_text("Simulated.")
