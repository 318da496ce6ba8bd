from __future__ import annotations

import os
from pathlib import Path

from cluster.targets.rehearsal.memory import Peak, pss_bytes


def process(proc: Path, pid: int, parent: int, pss_kib: int) -> None:
    folder = proc / str(pid)
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text(f"{pid} (a (strange) name) S {parent} 1 1")
    (folder / "smaps_rollup").write_text(f"00-ff ---p [rollup]\nRss: 999 kB\nPss:   {pss_kib} kB\nPss_Dirty: 1 kB\n")


def test_the_peak_is_of_the_whole_family_and_of_nobody_else(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 100)
    process(tmp_path, 11, 10, 20)
    process(tmp_path, 12, 11, 3)
    process(tmp_path, 13, 1, 5000)
    (tmp_path / "self").mkdir()
    peak = Peak(10, proc=tmp_path)
    peak.look()
    process(tmp_path, 12, 11, 1)
    peak.look()
    assert peak.peak_bytes == 123 * 1024


def test_families_that_overlap_count_once(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, 100)
    process(tmp_path, 11, 10, 20)
    process(tmp_path, 20, 1, 3)
    peak = Peak(11, 10, 20, proc=tmp_path)
    peak.look()
    assert peak.peak_bytes == 123 * 1024


def test_a_watch_that_failed_says_so_and_takes_nothing_else_with_it(tmp_path: Path) -> None:
    with Peak(1, proc=tmp_path / "nowhere", interval_s=0.001) as peak:
        peak._thread.join()
    assert isinstance(peak.failure, FileNotFoundError)


def test_what_has_ended_holds_nothing(tmp_path: Path) -> None:
    assert pss_bytes(tmp_path, 4) == 0


def test_it_watches_while_the_block_runs() -> None:
    with Peak(os.getpid(), interval_s=0.001) as peak:
        while not peak.peak_bytes:
            pass
    assert peak.peak_bytes > 1024
