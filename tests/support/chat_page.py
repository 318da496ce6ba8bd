"""The chat page in a browser as a person meets it, and a record of what happened behind it."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from tests.support.scripted_chat import ScriptedChat


@dataclass(slots=True)
class ChatPage:
    """Open page, the scripted API behind it, and what both reported."""

    page: Page
    api: ScriptedChat
    address: str
    complaints: list[str] = field(default_factory=list)  # exceptions, and what the security policy blocked
    asked: list[str] = field(default_factory=list)  # URLs of all requests

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._note_console(message))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self) -> None:
        self.page.goto(f"{self.address}/ui")
        expect(self.page.locator("#model")).not_to_have_text("…")

    def ask(self, text: str) -> None:
        self.message.fill(text)
        self.message.press("Enter")

    @property
    def message(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def answer(self) -> Locator:
        """The last answer's text."""
        return self.page.locator(".answer .text").last

    @property
    def note(self) -> Locator:
        """What is said below the last answer: stopped, cut off, failed."""
        return self.page.locator(".answer .note").last

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def _note_console(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Trusted" in message.text:
            self.complaints.append(message.text)
