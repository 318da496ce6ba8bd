"""The page in front of the real app: engine, scheduler and API as they are served, and a simulated machine that takes time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from serving.assembly import Chatbot, assemble
from serving.settings import load
from tests.support.api import CountingSink
from tests.support.chat_page import ChatPage
from tests.support.scripted_chat import ScriptedChat, listening

PROFILE = """
estimate: true
source: chosen so that an answer takes about twenty seconds
weight_bits: 16
kv_bits: 16
kv_bytes_per_position: 0
splits_prompts: true
reads_all_slots: false
fraction_of_roofline: 1.0
decode_steps:
  - {slots: 1024, positions: 1048576, seconds: 0.02}
prefills:
  - {tokens: 1048576, seconds: 0.02}
start_up: []
answer_tokens: {least: 900, most: 950}
"""


@pytest.fixture
def chatbot(tmp_path: Path) -> Iterator[Chatbot]:
    profile = tmp_path / "slow.yaml"
    profile.write_text(PROFILE)
    runner = {"kind": "simulated", "profile": str(profile), "slots": 1, "positions": 2048}
    # In a thread, because playwright's own loop runs in this one.
    with ThreadPoolExecutor(max_workers=1) as pool:
        assembling = assemble(load({"runner": runner}), replica_id="replica-1", sink=CountingSink())
        chatbot = pool.submit(asyncio.run, assembling).result()
        yield chatbot
        pool.submit(asyncio.run, chatbot.close(drain_s=5)).result()


@pytest.fixture
def chat(chatbot: Chatbot, context: BrowserContext) -> Iterator[ChatPage]:
    with listening(chatbot.app) as address:
        chat = ChatPage(context.new_page(), ScriptedChat(), address)
        chat.open()
        yield chat
        context.close()
    assert chat.complaints == []


def test_a_stopped_answer_leaves_the_only_slot_to_the_next(chat: ChatPage, chatbot: Chatbot) -> None:
    expect(chat.page.locator("#simulated")).to_be_visible()
    chat.ask("Hello")
    expect(chat.answer).to_contain_text("This answer comes from a simulated")
    assert chatbot.engine.figures().busy_slots == 1
    chat.page.keyboard.press("Escape")
    expect(chat.note).to_have_text("Stopped.")
    chat.ask("Once more")
    expect(chat.page.locator(".turn")).to_have_count(2)
    expect(chat.answer).to_contain_text("This answer comes from a simulated")


def test_a_conversation_too_long_for_the_model_says_what_to_do(chat: ChatPage) -> None:
    chat.ask("word " * 4000)
    expect(chat.note).to_contain_text("this model takes at most")
    expect(chat.note).to_contain_text("Start a new chat, or write less.")
