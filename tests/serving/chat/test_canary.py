import asyncio
from dataclasses import replace

import pytest
from tokenizers import Tokenizer

from serving.chat.canary import check_decoding, run_canary
from serving.chat.prompt import PromptEncoder
from serving.chat.template import ChatTemplate
from serving.chat.vocabulary import read_vocabulary
from serving.engine.request import FinishReason
from serving.errors import GenerationFailed, SetupError
from tests.support import tokenizers
from tests.support.scripted_engine import ScriptedEngine


def _encoder(template: str | None = tokenizers.TEMPLATE) -> PromptEncoder:
    compiled = None if template is None else ChatTemplate(template, bos_token=None, eos_token=None)
    return PromptEncoder(tokenizers.byte_level(), compiled, bos_token=None)


@pytest.mark.parametrize("tokenizer", [tokenizers.byte_level(), tokenizers.sentencepiece()])
def test_a_table_that_decodes_as_the_tokenizer_does_passes(tokenizer: Tokenizer) -> None:
    check_decoding(tokenizer, read_vocabulary(tokenizer))


def test_a_table_that_decodes_otherwise_is_a_set_up_error() -> None:
    tokenizer = tokenizers.byte_level()
    vocabulary = read_vocabulary(tokenizer)
    wrong = replace(vocabulary, table=(b"?",) * len(vocabulary.table))
    with pytest.raises(SetupError, match="not supported"):
        check_decoding(tokenizer, wrong)


@pytest.mark.parametrize("template", [tokenizers.TEMPLATE, None, "{{ raise_exception('no') }}"])
async def test_a_prefill_and_a_decode_pass(template: str | None) -> None:
    engine = ScriptedEngine()
    canary = asyncio.create_task(run_canary(engine, _encoder(template)))
    (generation,) = await engine.next_generations()
    generation.say(1)
    generation.say(2, finish=FinishReason.LENGTH)
    await canary


async def test_a_failure_names_itself() -> None:
    engine = ScriptedEngine()
    canary = asyncio.create_task(run_canary(engine, _encoder()))
    (generation,) = await engine.next_generations()
    generation.say(finish=FinishReason.FAILED, error="The model failed.")
    with pytest.raises(GenerationFailed, match="failed: The model failed"):
        await canary


async def test_too_few_tokens_are_no_answer() -> None:
    engine = ScriptedEngine()
    canary = asyncio.create_task(run_canary(engine, _encoder()))
    (generation,) = await engine.next_generations()
    generation.say(1, finish=FinishReason.LENGTH)
    with pytest.raises(GenerationFailed, match="1 tokens instead of 2"):
        await canary
