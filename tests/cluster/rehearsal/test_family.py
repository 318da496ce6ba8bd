from __future__ import annotations

from pathlib import Path

from cluster.rehearsal.family import family


def process(proc: Path, pid: int, parent: int, name: bytes = b"a (strange) name") -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_bytes(b"%d (%s) S %d 1 1" % (pid, name, parent))


def test_a_family_is_the_ancestor_and_everybody_below(tmp_path: Path) -> None:
    process(tmp_path, 10, 1)
    process(tmp_path, 11, 10)
    process(tmp_path, 12, 11)
    process(tmp_path, 13, 1)
    (tmp_path / "self").mkdir()
    assert sorted(family(10, proc=tmp_path)) == [10, 11, 12]


def test_a_name_that_is_no_text_keeps_nobody_out(tmp_path: Path) -> None:
    process(tmp_path, 10, 1)
    process(tmp_path, 11, 10, b"\xff\xfe")
    assert list(family(10, proc=tmp_path)) == [10, 11]


def test_who_ended_meanwhile_is_nobody(tmp_path: Path) -> None:
    process(tmp_path, 10, 1)
    (tmp_path / "11").mkdir()
    assert list(family(10, proc=tmp_path)) == [10]
