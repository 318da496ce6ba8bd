"""The folder of a run, and what is refused as one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.errors import UsageError
from loadtest.report import document as documents
from loadtest.report import files, terminal
from loadtest.run_result import Run
from tests.support import runs
from tests.support.load_profiles import record


def document_of(run: Run, *, verify: bool = False) -> dict[str, Any]:
    return documents.build(run, verify=verify, target=runs.TARGET, versions=runs.VERSIONS)


def test_a_run_leaves_document_table_and_page(tmp_path: Path) -> None:
    document = document_of(runs.verified(), verify=True)
    folder = files.write(tmp_path, runs.verified(), document)
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "requests.csv"]
    assert files.read(folder) == json.loads(json.dumps(document))


def test_the_page_of_a_document_named_by_its_file_is_made_beside_it(tmp_path: Path) -> None:
    document = document_of(runs.run())
    folder = files.write(tmp_path, runs.run(), document)
    assert files.write_page(folder / files.DOCUMENT, document) == folder / files.PAGE


def test_a_folder_for_runs_is_made_before_the_first_of_them(tmp_path: Path) -> None:
    reports = tmp_path / "a" / "reports"
    files.prepare(reports)
    files.prepare(reports)
    assert list(reports.iterdir()) == []


def test_a_folder_that_nothing_can_be_written_to_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for reports in (file, file / "reports", Path("/proc/self")):  # the last one is read-only to root, too
        with pytest.raises(UsageError, match=r"cannot write to .*: give a folder that can be written to \(--reports\)"):
            files.prepare(reports)


def test_a_second_run_within_a_second_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    one = files.write(tmp_path, runs.run(), document_of(runs.run()))
    other = files.write(tmp_path, runs.run(), document_of(runs.run()))
    assert one != other


def test_the_table_has_a_row_per_request_and_empty_cells_for_no_value(tmp_path: Path) -> None:
    records = (record(0, at_s=1, ttft_s=0.25, error="a, comma"), record(1, gaps_s=(), completion_tokens=1))
    folder = files.write(tmp_path, runs.run(records), document_of(runs.run(records)))
    rows = list(csv.DictReader((folder / files.TABLE).read_text().splitlines()))
    assert rows[0]["ttft_s"] == "0.250000"
    assert rows[0]["error"] == "a, comma"
    assert rows[0]["good"] == "true"
    assert rows[1]["tpot_s"] == ""
    assert rows[1]["user"] == ""


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "chatbot.verdict/v2"}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(UsageError):
        files.read(tmp_path)
    with pytest.raises(UsageError):
        files.read(tmp_path / "nowhere")


def test_the_summary_says_verdict_load_stages_and_evidence() -> None:
    broken = runs.verified(until="replica-started")
    document = document_of(broken, verify=True)
    text = "\n".join(terminal.lines(document))
    assert "AUTOSCALING FAILED" in text
    assert "1 users for 10 s → 4 users for 90 s" in text
    assert "serve-target-raised" in text
    assert "evidence: the evidence under load" in text
    assert "skipped, this target has no: ray-demand-raised" in text
