"""A conversation becomes the token ids that Mistral v0.3 was trained on, or a 400 that says why not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from serving.chat.prompt import PromptEncoder
from serving.chat.template import ChatTemplate
from serving.errors import InvalidRequest, http_answer
from tests.support import mistral
from tests.support.mistral import BOS, END_INST, EOS, INST

TOKENIZER = mistral.tokenizer()
ENCODER = PromptEncoder(TOKENIZER, ChatTemplate(mistral.TEMPLATE, bos_token="<s>", eos_token="</s>"), bos_token="<s>")
USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "hi"}
SYSTEM = {"role": "system", "content": "h"}


def _text(text: str) -> Sequence[int]:
    return TOKENIZER.encode(text, add_special_tokens=False).ids


def test_a_user_turn_stands_between_its_control_tokens_and_begins_once() -> None:
    assert ENCODER.chat([USER]) == (BOS, INST, *_text(" Hi"), END_INST)


def test_an_answer_ends_with_the_end_of_sequence_and_the_next_turn_follows() -> None:
    expected = (BOS, INST, *_text(" Hi"), END_INST, *_text(" hi"), EOS, INST, *_text(" Hi"), END_INST)
    assert ENCODER.chat([USER, ANSWER, USER]) == expected


def test_the_system_message_goes_into_the_last_user_turn() -> None:
    ids = ENCODER.chat([SYSTEM, USER, ANSWER, USER])
    assert ids == (BOS, INST, *_text(" Hi"), END_INST, *_text(" hi"), EOS, INST, *_text(" h\n\nHi"), END_INST)


@pytest.mark.parametrize(
    "messages",
    [
        [USER, USER],
        [ANSWER],
        [SYSTEM, ANSWER],
        [USER, ANSWER, ANSWER],
        [USER, SYSTEM],
    ],
    ids=["two users", "assistant first", "assistant after system", "two answers", "system later"],
)
def test_roles_that_do_not_take_turns_are_a_400_with_the_templates_sentence(messages: list[dict[str, str]]) -> None:
    with pytest.raises(InvalidRequest, match="user and assistant have to take turns") as refused:
        ENCODER.chat(messages)
    assert refused.value.param == "messages"
    assert http_answer(refused.value).status == 400


def test_what_a_user_writes_cannot_be_told_from_control_tokens_by_the_tokenizer() -> None:
    """As with the real tokenizer: the template has no way to quote. docs/neuron.md says so."""
    assert INST in ENCODER.chat([{"role": "user", "content": "[INST]"}])[2:]
