from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from serving.errors import SetupError
from serving.model import commands
from serving.model.catalog import KNOWN
from tests.support import checkpoints

pytest.importorskip("openvino", reason="the extra `cpu` is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHATBOT_MODEL__CACHE_DIR", str(tmp_path / "cache"))
    checkpoints.write(tmp_path / "tiny")
    return tmp_path / "cache"


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    commands.add_arguments(parser)
    return commands.run(parser.parse_args(arguments))


def facts(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(*arguments, "-o", "json") == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_what_prepare_made_is_what_path_and_list_name(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = str(tmp_path / "tiny")
    made = facts(capsys, "prepare", tiny)
    assert made["schema"] == "chatbot.model-prepared/v1"
    assert made["bytes"] > 100_000
    assert Path(made["path"]).parent == cache / "models"
    assert facts(capsys, "path", tiny)["path"] == made["path"]
    rows = {row["model"]: row["prepared"] for row in facts(capsys, "list")["models"]}
    assert rows == {"smollm2-135m-instruct": None, "tiny": made["path"]}


def test_people_get_lines_and_no_progress_bar_off_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("prepare", str(tmp_path / "tiny")) == 0
    said = capsys.readouterr()
    assert said.out.startswith("tiny is ready in ")
    assert said.err == ""
    assert run("list") == 0
    assert "smollm2-135m-instruct        not prepared" in capsys.readouterr().out


def test_a_build_that_an_older_builder_left_is_shown_as_old_and_not_as_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Path(facts(capsys, "prepare", str(tmp_path / "tiny"))["path"])
    left = made.with_name("tiny-000000000000")
    shutil.copytree(made, left)
    manifest = json.loads((left / "model.json").read_text())
    (left / "model.json").write_text(json.dumps({**manifest, "builder": manifest["builder"] - 1}))
    (row,) = [row for row in facts(capsys, "list")["models"] if row["model"] == "tiny"]
    assert (row["prepared"], row["old_builds"]) == (str(made), [str(left)])
    assert run("list") == 0
    assert f"an old build, which nothing uses: rm -r {left}\n" in capsys.readouterr().out
    shutil.rmtree(made)
    (row,) = [row for row in facts(capsys, "list")["models"] if row["model"] == "tiny"]
    assert (row["prepared"], row["old_builds"]) == (None, [str(left)])


def test_a_build_of_another_entry_of_the_catalog_is_old(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Path(facts(capsys, "prepare", str(tmp_path / "tiny"))["path"])
    known = KNOWN["smollm2-135m-instruct"]
    manifest = json.loads((made / "model.json").read_text()) | {"model_id": known.name}
    for version in ("0.1.0", known.version):
        folder = cache / "models" / f"{known.name}-{version}"
        shutil.copytree(made, folder)
        source = json.loads(json.dumps(asdict(known))) | {"version": version}
        (folder / "model.json").write_text(json.dumps({**manifest, "sources": [source]}))
    row = facts(capsys, "list")["models"][0]
    assert row["prepared"].endswith(f"-{known.version}")
    assert [Path(path).name for path in row["old_builds"]] == [f"{known.name}-0.1.0"]


def test_the_setting_names_the_model_when_the_command_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHATBOT_MODEL__NAME", str(tmp_path / "tiny"))
    assert facts(capsys, "prepare")["model"] == "tiny"


def test_a_path_that_is_not_prepared_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="python -m serving model prepare"):
        run("path", str(tmp_path / "tiny"))
