"""A real Chromium in front of the chat page; every test ends with: nothing blocked, nothing thrown, nobody else asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from serving.page.mount import mount_page
from tests.support.chat_page import ChatPage
from tests.support.scripted_chat import ScriptedChat, listening

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=30_000)  # a Chromium that draws by software on a busy machine may take seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Not for the session: while playwright's loop is open, no asynchronous test can run in this thread."""
    path = shutil.which("/usr/bin/chromium") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium here: install Debian's package `chromium`, or put a `chromium` on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def served() -> Iterator[tuple[ScriptedChat, str]]:
    api = ScriptedChat()
    app = Starlette(routes=[Mount("/v1", api)])
    mount_page(app)
    with listening(Starlette(routes=[Mount("/behind/a/prefix", app), Mount("/", app)])) as address:
        yield api, address


@pytest.fixture
def api(served: tuple[ScriptedChat, str]) -> ScriptedChat:
    api, _ = served
    api.reset()
    return api


@pytest.fixture
def address(served: tuple[ScriptedChat, str]) -> str:
    return served[1]


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    with chromium.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        context.set_default_timeout(30_000)
        yield context


@pytest.fixture
def visit(api: ScriptedChat, address: str) -> Iterator[Callable[[Page], ChatPage]]:
    """Watches a page; what it complained of or asked elsewhere fails the test at its end."""
    visits: list[ChatPage] = []

    def watch(page: Page) -> ChatPage:
        chat = ChatPage(page, api, address)
        visits.append(chat)
        return chat

    yield watch
    for chat in visits:
        assert chat.complaints == []
        assert [url for url in chat.asked if not url.startswith(f"{address}/")] == []


@pytest.fixture(scope="module")
def modules(chromium: Browser, served: tuple[ScriptedChat, str]) -> Iterator[Page]:
    """A page for tests that call the page's own JavaScript modules and leave nothing behind."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{served[1]}/ui/")
        yield page


@pytest.fixture
def chat(context: BrowserContext, visit: Callable[[Page], ChatPage]) -> ChatPage:
    chat = visit(context.new_page())
    chat.open()
    return chat
