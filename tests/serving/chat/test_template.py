import re

import pytest

from serving.chat.template import ChatTemplate
from serving.errors import InvalidRequest, SetupError
from tests.support.tokenizers import TEMPLATE

USER = {"role": "user", "content": "Hi"}


def _render(source: str, *messages: dict[str, str]) -> str:
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>").render(messages or [USER])


def test_a_conversation_ends_where_the_assistants_turn_begins() -> None:
    assert _render(TEMPLATE) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_the_special_tokens_have_names() -> None:
    assert _render("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}") == "<s>Hi</s>"


def test_blocks_leave_no_blank_lines_and_no_indentation() -> None:
    assert _render("a\n    {% if true %}\nb\n    {% endif %}\nc") == "a\nb\nc"


def test_loops_can_break_and_generation_blocks_let_their_content_through() -> None:
    assert (
        _render("{% for m in messages %}{% generation %}x{% endgeneration %}{% break %}{% endfor %}", USER, USER) == "x"
    )


def test_json_is_written_as_people_write_it() -> None:
    assert _render("{{ {'a': 'é', 'b': [1]} | tojson }}") == '{"a": "é", "b": [1]}'
    assert _render("{{ [1] | tojson(indent=2) }}") == "[\n  1\n]"


def test_the_date_can_be_asked_for() -> None:
    assert re.fullmatch(r"\d{4}", _render("{{ strftime_now('%Y') }}"))


def test_a_refusal_carries_the_templates_own_sentence() -> None:
    source = "{{ raise_exception('Roles must alternate user/assistant/…') }}"
    with pytest.raises(InvalidRequest, match="Roles must alternate user/assistant") as raised:
        _render(source)
    assert raised.value.param == "messages"


def test_a_template_cannot_reach_the_interpreter() -> None:
    with pytest.raises(InvalidRequest, match="unsafe"):
        _render("{{ ''.__class__.__mro__ }}")


def test_a_broken_template_is_a_set_up_error() -> None:
    with pytest.raises(SetupError, match="not valid Jinja"):
        _render("{% for %}")
