from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.chat_page import ChatPage
from tests.support.scripted_chat import End, Hold, Say

DOCUMENT = """# Title

### Leap

One *two* **three** `four`
five [link](https://example.org/x)

3. three
4. four

- [x] done

| a | b |
| --- | ---: |
| 1 | 2 |

> quoted
"""

ATTACKS = [
    "<script>window.attacked = 1</script>",
    '<img src="x" onerror="window.attacked = 1">',
    '<svg onload="window.attacked = 1"></svg>',
    '<a href="javascript:window.attacked = 1">click</a>',
    "<iframe srcdoc='<script>parent.attacked = 1</script>'></iframe>",
    "<style>body { display: none }</style>",
    '<form action="https://example.org"><input name="key"></form>',
    '<base href="https://example.org/">',
    '<meta http-equiv="refresh" content="0;url=https://example.org/">',
    "<!-- a comment -->",
]
HARMLESS = {"P", "BR", "UL", "LI", "BLOCKQUOTE", "TABLE", "THEAD", "TBODY", "TR", "TH", "TD"}
INERT_LINKS = [
    "[click](javascript:window.attacked=1)",
    "[click](data:text/html,<script>1</script>)",
    "[click](/metrics)",
    "![picture](https://example.org/tracker.png)",
]

RENDER = """async (text) => {
    const { MarkdownView } = await import("./js/markdown.js");
    const box = document.createElement("div");
    document.body.append(box);
    new MarkdownView(box).update(text);
    const elements = [...box.querySelectorAll("*")];
    const shown = {
        text: box.textContent,
        elements: elements.map((e) => e.tagName),
        attributes: elements.flatMap((e) => e.getAttributeNames()),
    };
    box.remove();
    return shown;
}"""


def test_markdown_becomes_structure(chat: ChatPage) -> None:
    chat.api.answer_with(Say(DOCUMENT), End())
    chat.ask("Everything")
    expect(chat.answer.locator("table td")).to_have_text(["1", "2"])
    expect(chat.answer.locator("ol")).to_have_attribute("start", "3")
    expect(chat.answer.locator("ul li")).to_have_text("☑ done")
    expect(chat.answer.locator("em, strong, p > code")).to_have_text(["two", "three", "four"])
    expect(chat.answer.locator("blockquote")).to_have_text("quoted")
    link = chat.answer.get_by_role("link", name="link")
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", "noopener noreferrer")


def test_headings_go_on_from_those_of_the_page_without_leaps(chat: ChatPage) -> None:
    chat.api.answer_with(Say(DOCUMENT), End())
    chat.ask("Everything")
    expect(chat.answer.locator("h3")).to_have_text("Title")
    expect(chat.answer.locator("h4")).to_have_text("Leap")


@pytest.mark.parametrize(
    "form", ["{}", "before {} after", "- {}", "> {}", "| a |\n| --- |\n| {} |", "before\n{}\nafter"]
)
def test_html_is_shown_as_the_text_it_is(form: str, modules: Page) -> None:
    for attack in ATTACKS:
        shown = modules.evaluate(RENDER, form.format(attack))
        assert attack in shown["text"]
        assert set(shown["elements"]) <= HARMLESS
    assert modules.evaluate("window.attacked") is None


def test_links_elsewhere_than_the_web_and_images_are_shown_as_text(modules: Page) -> None:
    for link in INERT_LINKS:
        shown = modules.evaluate(RENDER, link)
        assert shown["elements"] == ["P"]
        assert link in shown["text"]


def test_attributes_and_names_of_a_model_never_reach_the_page(modules: Page) -> None:
    shown = modules.evaluate(RENDER, '```x"onmouseover="a\ncode\n```\n\n[t](https://e.org "onclick=1")')
    assert sorted(shown["attributes"]) == ["data-language", "href", "rel", "target"]


def test_growing_text_leaves_finished_blocks_in_place(modules: Page) -> None:
    kept = modules.evaluate(
        """async () => {
            const { MarkdownView } = await import("./js/markdown.js");
            const box = document.createElement("div");
            const view = new MarkdownView(box);
            view.update("first\\n\\nsec");
            const [first, second] = box.children;
            view.update("first\\n\\nsecond\\n\\n- third");
            return [first === box.children[0], second === box.children[1], box.innerText ?? box.textContent];
        }"""
    )
    assert kept[:2] == [True, False]
    assert "second" in kept[2]


def test_a_links_definition_that_comes_later_is_applied(modules: Page) -> None:
    href = modules.evaluate(
        """async () => {
            const { MarkdownView } = await import("./js/markdown.js");
            const box = document.createElement("div");
            const view = new MarkdownView(box);
            view.update("see [there][1]");
            view.update("see [there][1]\\n\\n[1]: https://example.org/");
            return box.querySelector("a")?.href;
        }"""
    )
    assert href == "https://example.org/"


def test_an_attack_in_a_real_answer_stays_text_while_streaming_and_after_a_reload(chat: ChatPage) -> None:
    attack = "".join(f"{a}\n\n" for a in ATTACKS + INERT_LINKS)
    chat.api.answer_with(Say(attack), Hold(), End())
    chat.ask(attack)
    expect(chat.answer).to_contain_text("<script>window.attacked = 1</script>")
    chat.api.proceed()
    expect(chat.button("Send")).to_be_visible()
    chat.page.reload()
    expect(chat.answer).to_contain_text("<script>window.attacked = 1</script>")
    expect(chat.page.locator("img")).to_have_count(1)  # the page's own
    assert chat.page.evaluate("window.attacked") is None
