"""What people see, in light and dark, wide and narrow: no accessibility violation, nothing sticks out; with screenshots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from serving.page.libraries import PAGE
from tests.support.chat_page import ChatPage
from tests.support.scripted_chat import End, Hold, Refuse, Say

AXE = PAGE / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = Path(__file__).parents[2] / "reports" / "browser"
WIDE, PHONE = (1100, 800), (390, 780)
ANSWER = """Light from the sun holds **all colours**. Air scatters the short, blue waves far more than the long, red ones:

1. Scattering grows with the *fourth power* of the frequency.
2. Violet is scattered even more, but our eyes see it badly.

## In code

```python
def scattered(wavelength_nm: float) -> float:
    return (450 / wavelength_nm) ** 4  # relative to blue, which is a rather long comment for a narrow screen
```

| colour | wavelength | scattered |
| --- | ---: | ---: |
| blue | 450 nm | 1.00 |
| red | 700 nm | 0.17 |

> See [Rayleigh scattering](https://example.org/rayleigh), and `scattered(700)`.
"""

# Controls and texts that are not wholly between the left and the right edge; code and tables scroll by themselves.
STICKING_OUT = """[...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && !e.closest("pre, .table, option, .unseen"))
    .filter((e) => e.getBoundingClientRect().left < 0 || e.getBoundingClientRect().right > innerWidth)
    .map((e) => e.outerHTML.slice(0, 80))"""


@pytest.fixture(
    params=[("light", WIDE), ("dark", WIDE), ("light", PHONE), ("dark", PHONE)], ids=lambda p: f"{p[0]}-{p[1][0]}"
)
def look(request: pytest.FixtureRequest, chromium: Browser, visit: Callable[[Page], ChatPage]) -> Any:
    scheme: Literal["light", "dark"]
    scheme, (width, height) = request.param
    with chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": height}) as context:
        chat = visit(context.new_page())
        chat.open()
        yield Look(chat, f"{scheme}-{width}")


class Look:
    def __init__(self, chat: ChatPage, name: str) -> None:
        self.chat = chat
        self.name = name

    def judge(self, state: str) -> None:
        """Take a screenshot, then ask axe-core and the layout."""
        page = self.chat.page
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{state}-{self.name}.png", animations="disabled")
        page.evaluate(AXE.read_text())
        violations = page.evaluate("async () => (await axe.run()).violations")
        assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in violations] == []
        assert page.evaluate(STICKING_OUT) == []


def test_every_state_is_accessible_and_fits(look: Look) -> None:
    chat, api = look.chat, look.chat.api
    look.judge("1-empty")

    api.answer_with(Hold(), Say("Light from the sun holds **all colours**. Air scatters"), Hold(), End())
    chat.ask("Why is the sky blue?")
    expect(chat.button("Stop")).to_be_visible()
    look.judge("2-waiting")
    api.proceed()
    expect(chat.answer).to_contain_text("scatters")
    look.judge("3-answering")
    chat.button("Stop").click()
    expect(chat.note).to_have_text("Stopped.")

    api.answer_with(Say(ANSWER), End(completion_tokens=143))
    chat.button("Retry").click()
    expect(chat.page.locator(".info")).to_contain_text("143 tokens")
    look.judge("4-answer")

    api.fingerprint = "simulated"
    api.refuse_with(Refuse.openai(429, "All slots are busy and the queue is full", retry_after="12"))
    api.answer_with(Say("One more, and it is cut"), End(finish_reason="length"))
    chat.ask("And at sunset?")
    expect(chat.note).to_contain_text("busy")
    look.judge("5-busy")
    chat.button("Retry").click()
    expect(chat.note).to_contain_text("Cut off")
    chat.page.get_by_role("log").evaluate("(log) => (log.scrollTop = 0)")
    expect(chat.page.locator("#latest")).to_be_visible()
    look.judge("6-scrolled-up")

    api.api_key = "secret"
    chat.page.reload()
    expect(chat.page.get_by_label("API key", exact=True)).to_be_focused()
    look.judge("7-key")
