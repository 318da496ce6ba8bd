import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders

from serving.chat.vocabulary import read_vocabulary
from serving.errors import SetupError
from tests.support import tokenizers


def test_a_byte_level_token_is_the_bytes_that_its_letters_stand_for() -> None:
    tokenizer = tokenizers.byte_level()
    vocabulary = read_vocabulary(tokenizer)
    assert vocabulary.table[tokenizers.token(tokenizer, "Ġthe")] == b" the"
    assert vocabulary.table[tokenizers.token(tokenizer, "ðŁ")] == b"\xf0\x9f"


def test_an_added_word_stands_for_itself_though_it_is_not_spelled_in_the_alphabet() -> None:
    tokenizer = tokenizers.byte_level()
    assert read_vocabulary(tokenizer).table[tokenizers.token(tokenizer, "naïve ")] == "naïve ".encode()


def test_special_tokens_write_nothing_but_have_a_name() -> None:
    tokenizer = tokenizers.byte_level()
    vocabulary, end = read_vocabulary(tokenizer), tokenizers.token(tokenizer, "<|im_end|>")
    assert vocabulary.table[end] == b""
    assert vocabulary.written(end) == b"<|im_end|>"


def test_ids_that_only_the_models_output_has_write_nothing() -> None:
    vocabulary = read_vocabulary(tokenizers.byte_level(), rows=1000)
    assert len(vocabulary.table) == 1000
    assert vocabulary.table[999] == vocabulary.written(999) == b""


def test_sentencepiece_signs_and_byte_tokens_are_resolved() -> None:
    tokenizer = tokenizers.sentencepiece()
    vocabulary = read_vocabulary(tokenizer)
    assert vocabulary.table[tokenizers.token(tokenizer, "▁the")] == b" the"
    assert vocabulary.table[tokenizers.token(tokenizer, "<0xE2>")] == b"\xe2"
    assert vocabulary.drops_first_space


@pytest.mark.parametrize(("scheme", "drops"), [("always", True), ("first", True), ("never", False)])
def test_metaspace_drops_the_first_space_unless_it_never_puts_one(scheme: str, drops: bool) -> None:
    tokenizer = tokenizers.sentencepiece()
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    assert read_vocabulary(tokenizer).drops_first_space is drops


@pytest.mark.parametrize("decoder", [decoders.WordPiece(), decoders.BPEDecoder(), decoders.Strip(" ", 1, 1), None])
def test_a_decoder_of_neither_family_is_refused_by_name(decoder: decoders.Decoder | None) -> None:
    tokenizer = tokenizers.byte_level()
    declared = json.loads(tokenizer.to_str()) | {"decoder": json.loads(decoder.__getstate__()) if decoder else None}
    with pytest.raises(SetupError, match="which this server cannot stream"):
        read_vocabulary(Tokenizer.from_str(json.dumps(declared)))


@settings(deadline=None)
@given(st.integers(0, 261))
def test_every_table_entry_is_what_the_library_decodes_alone(token_id: int) -> None:
    tokenizer = tokenizers.byte_level()
    vocabulary = read_vocabulary(tokenizer)
    assert vocabulary.table[token_id].decode("utf-8", "replace") == tokenizer.decode([token_id])
