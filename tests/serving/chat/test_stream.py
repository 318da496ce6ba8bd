import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from serving.chat.stream import Detokenizer, StopStrings, TextStream, stop_tables
from serving.chat.vocabulary import Vocabulary, read_vocabulary
from tests.support import tokenizers


@functools.cache
def _byte_level() -> tuple[Tokenizer, Vocabulary]:
    tokenizer = tokenizers.byte_level()
    return tokenizer, read_vocabulary(tokenizer)


@functools.cache
def _sentencepiece() -> tuple[Tokenizer, Vocabulary]:
    tokenizer = tokenizers.sentencepiece()
    return tokenizer, read_vocabulary(tokenizer)


def _pieces(vocabulary: Vocabulary, ids: list[int], *, continues: bool = False) -> list[str]:
    stream = Detokenizer(vocabulary, continues=continues)
    return [*map(stream.push, ids), stream.finish()]


@settings(deadline=None)
@given(st.lists(st.integers(0, 262)))
def test_pieces_join_to_what_the_library_decodes_whatever_the_ids(ids: list[int]) -> None:
    tokenizer, vocabulary = _byte_level()
    assert "".join(_pieces(vocabulary, ids)) == tokenizer.decode(ids)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_piece_holds_half_a_character(text: str) -> None:
    for tokenizer, vocabulary in (_byte_level(), _sentencepiece()):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        pieces = _pieces(vocabulary, ids)
        assert "".join(pieces) == tokenizer.decode(ids)
        assert sum(piece.count("\ufffd") for piece in pieces) == tokenizer.decode(ids).count("\ufffd")


@settings(deadline=None)
@given(st.lists(st.integers(3, 288)))
def test_bytes_that_are_no_utf8_are_replaced_as_python_does(ids: list[int]) -> None:
    _, vocabulary = _sentencepiece()
    written = b"".join(vocabulary.table[i] for i in ids).removeprefix(b" ")
    assert "".join(_pieces(vocabulary, ids)) == written.decode("utf-8", "replace")


def test_a_character_split_over_tokens_comes_out_when_it_is_whole() -> None:
    tokenizer, vocabulary = _byte_level()
    ids = tokenizer.encode("🙂!").ids
    assert _pieces(vocabulary, ids) == ["", "", "🙂", "!", ""]


def test_a_character_that_is_never_completed_ends_as_a_replacement() -> None:
    _, vocabulary = _byte_level()
    tokenizer = tokenizers.byte_level()
    assert _pieces(vocabulary, [tokenizers.token(tokenizer, "ðŁ")]) == ["", "\ufffd"]


def test_a_fresh_text_drops_the_first_space_and_a_continuation_keeps_it() -> None:
    tokenizer, vocabulary = _sentencepiece()
    ids = [tokenizers.token(tokenizer, "▁the"), tokenizers.token(tokenizer, "▁the")]
    assert "".join(_pieces(vocabulary, ids)) == "the the"
    assert "".join(_pieces(vocabulary, ids, continues=True)) == " the the"


def _cut(text: str, stops: list[str]) -> tuple[str, bool]:
    """By definition: at the stop string that is complete first, and of those that end together the longest."""
    found = [(at + len(stop), -len(stop)) for stop in stops if (at := text.find(stop)) >= 0]
    if not found:
        return text, False
    end, negative_length = min(found)
    return text[: end + negative_length], True


_TEXTS = st.lists(st.text("ab.", max_size=4), max_size=12)
_STOPS = st.lists(st.text("ab.", min_size=1, max_size=5), min_size=1, max_size=4)


@settings(deadline=None)
@given(_TEXTS, _STOPS)
def test_text_is_cut_at_the_first_complete_stop_string_however_it_arrives(texts: list[str], stops: list[str]) -> None:
    matcher, shown, stopped = StopStrings(stop_tables(stops)), "", False
    for text in texts:
        piece, stopped = matcher.push(text)
        shown += piece
        if stopped:
            break
    assert (shown + matcher.finish(), stopped) == _cut("".join(texts), stops)


@settings(deadline=None)
@given(_TEXTS, _STOPS)
def test_no_text_is_shown_that_a_later_cut_takes_back(texts: list[str], stops: list[str]) -> None:
    whole, _ = _cut("".join(texts), stops)
    matcher, shown = StopStrings(stop_tables(stops)), ""
    for text in texts:
        piece, stopped = matcher.push(text)
        shown += piece
        assert whole.startswith(shown)
        if stopped:
            break


def test_answers_that_share_their_tables_do_not_share_what_they_have_seen() -> None:
    tables = stop_tables(["END"])
    one, other = StopStrings(tables), StopStrings(tables)
    assert (one.push("EN"), other.push("D")) == (("", False), ("D", False))
    assert one.push("D") == ("", True)


def test_what_turns_out_not_to_be_a_stop_string_is_released_at_once() -> None:
    matcher = StopStrings(stop_tables(["END"]))
    assert matcher.push("the E") == ("the ", False)
    assert matcher.push("N") == ("", False)
    assert matcher.push("O") == ("ENO", False)


def test_a_very_long_stop_string_costs_no_more_per_character() -> None:
    matcher = StopStrings(stop_tables(["a" * 100_000 + "b"]))
    shown, stopped = matcher.push("a" * 300_000)
    assert (len(shown), stopped) == (200_000, False)


def _stream(text: str, **options: object) -> tuple[str, bool]:
    tokenizer, vocabulary = _byte_level()
    stream = TextStream(vocabulary, **options)  # type: ignore[arg-type]
    shown = ""
    for token_id in tokenizer.encode(text).ids:
        shown += stream.push(token_id)
        if stream.stopped:
            break
    return shown + stream.finish(), stream.stopped


def test_a_stop_string_across_token_borders_is_found() -> None:
    assert _stream("see the 🙂 end", stops=stop_tables(["e 🙂"])) == ("see th", True)


def test_held_back_text_comes_at_the_end() -> None:
    assert _stream("see the", stops=stop_tables(["the end"])) == ("see the", False)


@pytest.mark.parametrize(("min_tokens", "shown"), [(0, ""), (1, "a"), (2, "aa")])
def test_the_least_tokens_are_not_searched_for_stop_strings(min_tokens: int, shown: str) -> None:
    assert _stream("aaa", stops=stop_tables(["a"]), min_tokens=min_tokens) == (shown, True)
