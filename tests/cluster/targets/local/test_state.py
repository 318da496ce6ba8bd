from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.targets.local.state import State, code_digest, digest, read_state, write_state

STATE = State("http://127.0.0.1:8000", "http://127.0.0.1:8265", "/token", "run", "launch", "config", 7, 8)


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path / "state.json", STATE)
    assert read_state(tmp_path / "state.json") == STATE
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema": "chatbot.local-state/v0"}', "{}"])
def test_what_cannot_be_understood_is_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "state.json").write_text(content)
    assert read_state(tmp_path / "state.json") is None


def test_what_an_older_version_wrote_is_still_found(tmp_path: Path) -> None:
    write_state(tmp_path / "state.json", STATE)
    content = json.loads((tmp_path / "state.json").read_text())
    del content["metrics_url"]
    (tmp_path / "state.json").write_text(json.dumps(content))
    assert read_state(tmp_path / "state.json") == STATE


def test_a_digest_ignores_the_order_of_names() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1})


def test_the_code_digest_sees_every_file_but_caches(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    before = code_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert code_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("2")
    assert code_digest(tmp_path) != before
