from pathlib import Path

import pytest

from serving.chat.prompt import PromptEncoder, answer_budget, load_tokenizer
from serving.chat.template import ChatTemplate
from serving.errors import InvalidRequest, PromptTooLong, SetupError
from tests.support import tokenizers

MESSAGES = [{"role": "user", "content": "hello"}]


def _encoder(template: str | None) -> PromptEncoder:
    compiled = None if template is None else ChatTemplate(template, bos_token="<s>", eos_token="</s>")
    return PromptEncoder(tokenizers.sentencepiece(), compiled, bos_token="<s>")


def test_a_chat_prompt_has_the_one_bos_that_its_template_writes() -> None:
    ids = _encoder("{{ bos_token }}{{ messages[0].content }}").chat(MESSAGES)
    assert ids[0] == 1
    assert ids.count(1) == 1


def test_a_bare_text_gets_the_bos_that_the_tokenizer_adds_once() -> None:
    encoder = _encoder(None)
    assert encoder.text("hello")[0] == 1
    assert encoder.text("<s>hello").count(1) == 1


def test_a_model_without_a_template_names_the_other_endpoint() -> None:
    with pytest.raises(InvalidRequest, match="/v1/completions"):
        _encoder(None).chat(MESSAGES)


def test_truncation_left_in_the_file_does_not_shorten_prompts(tmp_path: Path) -> None:
    tokenizer = tokenizers.byte_level()
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(load_tokenizer(tmp_path / "tokenizer.json").encode("hello").ids) > 2


def test_a_file_that_is_no_tokenizer_is_a_set_up_error(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(SetupError, match="is not a tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")


def _budget(prompt: int, asked: int | None, *, positions: int = 100, longest_prompt: int = 90) -> int:
    return answer_budget(
        prompt, asked, positions=positions, longest_prompt=longest_prompt, param="messages", asked_param="max_tokens"
    )


def test_an_answer_without_a_limit_may_fill_the_slot() -> None:
    assert _budget(90, None) == 10


def test_an_answer_that_just_fits_is_granted() -> None:
    assert _budget(90, 10) == 10


def test_a_prompt_too_long_is_told_both_numbers() -> None:
    with pytest.raises(PromptTooLong, match=r"91 tokens.*at most 90") as raised:
        _budget(91, None)
    assert (raised.value.param, raised.value.code) == ("messages", "context_length_exceeded")


def test_a_prompt_must_leave_room_for_one_token() -> None:
    with pytest.raises(PromptTooLong, match=r"100 tokens.*at most 99"):
        _budget(100, None, longest_prompt=100)


def test_more_than_fits_is_refused_and_not_silently_less() -> None:
    with pytest.raises(PromptTooLong, match=r"holds 100 positions, but 101 were asked for.*at most 10 ") as raised:
        _budget(90, 11)
    assert raised.value.param == "max_tokens"


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        _budget(0, None)
