from __future__ import annotations

from pathlib import Path

import pytest

from cluster.rehearsal.kubelet.machine import logs
from cluster.rehearsal.kubelet.machine.logs import Logs, chunks


def test_each_start_has_a_file_and_the_last_two_can_be_asked_for(tmp_path: Path) -> None:
    store = Logs(tmp_path)
    for instance in (1, 2, 10):
        store.new("u", "c", instance).write_text(f"start {instance}\n")
    last, before = store.find("u", "c", previous=False), store.find("u", "c", previous=True)
    assert last is not None
    assert before is not None
    assert (last.read_text(), before.read_text()) == ("start 10\n", "start 2\n")
    assert store.find("u", "other", previous=False) is None
    assert store.tail("u", "c", 3) == "10\n"
    store.remove("u")
    assert store.find("u", "c", previous=False) is None


@pytest.mark.parametrize(
    ("lines", "rest"),
    [(None, "a\nbb\nccc\n"), (0, ""), (1, "ccc\n"), (2, "bb\nccc\n"), (3, "a\nbb\nccc\n"), (9, "a\nbb\nccc\n")],
)
@pytest.mark.parametrize("block_bytes", [1, 2, 4, 1000])
def test_the_last_lines_are_found_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int | None, rest: str, block_bytes: int
) -> None:
    monkeypatch.setattr(logs, "_CHUNK_BYTES", block_bytes)
    path = tmp_path / "1.log"
    path.write_text("a\nbb\nccc\n")
    assert b"".join(chunks(path, tail_lines=lines, follows=lambda: False, sleep=lambda _: None)) == rest.encode()


def test_an_unfinished_last_line_counts(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_text("a\nbb\nccc")
    assert b"".join(chunks(path, tail_lines=1, follows=lambda: False, sleep=lambda _: None)) == b"ccc"


def test_who_follows_from_the_end_misses_nothing_of_a_line_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_text("a\nbb")
    runs = iter([True, False])

    def write_more(_: float) -> None:
        with path.open("a") as file:
            file.write("ccc\n")

    assert list(chunks(path, tail_lines=0, follows=lambda: next(runs), sleep=write_more)) == [b"ccc\n"]


def test_a_followed_file_is_read_to_what_was_written_last(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_text("one\n")
    runs = iter([True, True, False])

    def write_more(_: float) -> None:
        with path.open("a") as file:
            file.write("more\n")

    read = chunks(path, tail_lines=None, follows=lambda: next(runs), sleep=write_more)
    assert list(read) == [b"one\n", b"more\n", b"more\n"]
