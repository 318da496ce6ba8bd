"""A run's folder: report.json, requests.csv, report.html. The page is made from the document alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from loadtest.errors import UsageError
from loadtest.report import document as documents
from loadtest.report import page, request_table
from loadtest.run_result import Run

DOCUMENT, TABLE, PAGE = "report.json", "requests.csv", "report.html"


def prepare(reports: Path) -> None:
    """Make the folder of all runs, so that none is measured in vain. Raises UsageError where nothing can be written to it."""
    try:
        reports.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=reports).close()
    except OSError as error:
        raise UsageError(
            f"cannot write to {reports} ({error.strerror}): give a folder that can be written to (--reports)"
        ) from error


def write(reports: Path, run: Run, document: Mapping[str, Any]) -> Path:
    """Make a folder for the run with all three files; `document` is what is known of it. Raises OSError, as on a full disk."""
    started = datetime.fromtimestamp(run.started_unix_s, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = _fresh(reports / f"{run.profile.name}-{started}")
    (folder / DOCUMENT).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    with (folder / TABLE).open("w", encoding="utf-8") as file:
        request_table.write(file, run.profile, run.records)
    write_page(folder, document)
    return folder


def write_page(run: Path, document: Mapping[str, Any]) -> Path:
    """The page of a document, beside it. `run`: its folder, or the document's file itself."""
    path = (run if run.is_dir() else run.parent) / PAGE
    path.write_text(page.render(document), "utf-8")
    return path


def read(folder: Path) -> dict[str, Any]:
    """The document in a run's folder (or the file itself). Raises UsageError when it is not one of ours."""
    path = folder / DOCUMENT if folder.is_dir() else folder
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        jsonschema.validate(document, schema())
    except OSError as error:
        raise UsageError(
            f"cannot read {path} ({error.strerror}): give the folder that run, verify or watch made, or its {DOCUMENT}"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"cannot read {path}, which is no JSON ({error}): give a run's folder or its {DOCUMENT}"
        ) from error
    except jsonschema.ValidationError as error:
        raise UsageError(f"{path} is not a {documents.SCHEMA} document: {error.json_path} {error.message}") from error
    return document


def schema() -> dict[str, Any]:
    """The JSON schema of the document."""
    text = resources.files("loadtest.report").joinpath("verdict.v1.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _fresh(wanted: Path) -> Path:
    """A folder that did not exist; a second run within the same second gets a number."""
    number = 1
    while True:
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder
