import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.documents import Unreadable, read


def values(content: str) -> list[object]:
    return [document.value for document in read(content)]


def test_reads_every_document_with_its_line() -> None:
    documents = list(read("a: 1\n---\n---\nb: [x, {c: null}]\n"))
    assert [(d.value, d.line) for d in documents] == [({"a": 1}, 1), ({"b": ["x", {"c": None}]}, 3)]


def test_names_a_repeated_key_with_path_and_line() -> None:
    (document,) = read("spec:\n  list:\n  - a: 1\n    a: 2\n")
    assert document.value == {"spec": {"list": [{"a": 2}]}}
    assert [(key.path, key.line) for key in document.repeated_keys] == [("spec.list[0].a", 4)]


def test_dates_stay_strings_and_keys_become_strings() -> None:
    assert values("day: 2025-01-01\n1: x\non: y\n") == [{"day": "2025-01-01", "1": "x", "true": "y"}]


def test_merge_keys_do_not_override() -> None:
    assert values("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n") == [{"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}]


@pytest.mark.parametrize("content", ["a: [", "a: b: c", "\x00", "a: *nowhere", "&a [*a]", "{" * 100_000, "? [\n: }"])
def test_what_is_no_yaml_is_unreadable_with_a_reason(content: str) -> None:
    with pytest.raises(Unreadable, match=r"\w+"):
        values(content)


def test_nesting_and_alias_bombs_are_refused() -> None:
    with pytest.raises(Unreadable, match="nested deeper"):
        values("[" * 100_000 + "]" * 100_000)
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    with pytest.raises(Unreadable, match="aliases expand"):
        values(bomb)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(content: str) -> None:
    with contextlib.suppress(Unreadable):
        values(content)
