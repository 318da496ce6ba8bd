"""compile -> push -> check -> start, as a user goes it, on the contract fake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving import neuron
from serving.artifacts import manifest
from serving.artifacts.compile import compile_artifacts
from serving.artifacts.store import Store
from serving.artifacts.transfer import push
from serving.assembly import assemble
from serving.cli import main
from serving.errors import SetupError
from serving.settings import Settings
from tests.serving.artifacts.conftest import bucket_url
from tests.support import asgi, neuron_library
from tests.support.api import CountingSink
from tests.support.neuron_settings import NEURON, checkpoint, neuron_settings
from tests.support.s3_server import Wire


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "tiny-mistral")


def _flags(model: Path | str, **changes: object) -> list[str]:
    return [
        f"--model={model}",
        "--slots=2",
        "--positions=256",
        *(f"--set=neuron.{name}={value}" for name, value in (NEURON | changes).items()),
    ]


def _said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out + err


def test_the_way_from_a_checkpoint_to_a_start_that_does_not_compile(
    model: Path, wire: Wire, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, out = bucket_url("whole-way"), str(tmp_path / "made")
    assert _said(capsys, "compile", *_flags(model), "--out", out)[0] == 0
    assert "4 files pushed" in _said(capsys, "artifacts", "push", out, url)[1]
    code, text = _said(capsys, "artifacts", "check", url, *_flags(model))
    assert (code, "a start will not compile" in text) == (0, True)
    code, text = _said(capsys, "artifacts", "check", url, *_flags(model, amp="f16"), "-o", "json")
    facts = json.loads(text)
    assert (code, facts["would_compile"]) == (1, True)
    assert facts["changes"] == [{"input": "amp", "made_with": "bf16", "wanted": "f16"}]


# What changes each input of the key: a setting's other value, a version, a variable, a line of config.json.
OTHER: dict[str, dict[str, Any]] = {
    "slots": {"flags": ["--slots=4"]},
    "decode_buckets": {"flags": ["--set=neuron.decode_buckets=128,256"]},
    "prefill_buckets": {"flags": ["--set=neuron.prefill_buckets=64,128"]},
    "sampling": {"flags": ["--set=neuron.sampling=host"]},
    "global_top_k": {"flags": ["--set=neuron.global_top_k=8"]},
    "tp_degree": {"flags": ["--set=neuron.tp_degree=1"]},
    "amp": {"flags": ["--set=neuron.amp=f16"]},
    "attention_layout": {"flags": ["--set=neuron.attention_layout=HSB"]},
    "fuse_qkv": {"flags": ["--set=neuron.fuse_qkv=false"]},
    "model_revision": {"flags": ["--set=neuron.model_revision=def"]},
    "model_config": {"config": {"rms_norm_eps": 1e-6}},
    "compiler_flags": {"environment": "-O1"},
    "transformers-neuronx": {"version": "0.13.1"},
    "neuronx-cc": {"version": "2.21"},
    "torch-neuronx": {"version": "2.8"},
}


@pytest.mark.parametrize("name", OTHER)
def test_check_names_the_input_that_changed_and_no_other(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*_flags(model), "--set=neuron.model_revision=abc"]
    main(["compile", *flags, "--out", str(tmp_path / "made")])
    assert _said(capsys, "artifacts", "check", str(tmp_path / "made"), *flags)[0] == 0
    other = OTHER[name]
    monkeypatch.setenv("NEURON_CC_FLAGS", other.get("environment", ""))
    if "version" in other:
        monkeypatch.setitem(neuron_library.VERSIONS, name, other["version"])
    checkpoint(model, **other.get("config", {}))
    flags += other.get("flags", [])
    code, text = _said(capsys, "artifacts", "check", str(tmp_path / "made"), *flags, "-o", "json")
    named = {change["input"] for change in json.loads(text)["changes"]}
    assert (code, named) == (1, {name, "global_top_k"} if name == "sampling" else {name})
    code, text = _said(capsys, "artifacts", "check", str(tmp_path / "made"), *flags)
    assert f"{name}: made with " in text
    assert set(manifest.read(tmp_path / "made").inputs) == set(OTHER)  # so none is missing above


def test_a_start_that_names_no_revision_takes_that_of_the_artifacts(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["compile", *_flags(model, model_revision="abc"), "--out", str(tmp_path / "made")])
    assert _said(capsys, "artifacts", "check", str(tmp_path / "made"), *_flags(model))[0] == 0


@pytest.mark.parametrize("verb", ["check", "pull"])
def test_a_folder_that_is_not_there_is_said_and_not_made(
    verb: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operands = _flags(model) if verb == "check" else [str(tmp_path / "node")]
    code, text = _said(capsys, "artifacts", verb, str(tmp_path / "mistyped"), *operands)
    assert (code, "is no folder" in text) == (1, True)
    assert not (tmp_path / "mistyped").exists()


def test_check_names_a_graph_that_the_store_lost(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["compile", *_flags(model), "--out", str(tmp_path / "made")])
    lost = next((tmp_path / "made" / manifest.GRAPHS).iterdir())
    lost.unlink()
    code, text = _said(capsys, "artifacts", "check", str(tmp_path / "made"), *_flags(model))
    assert code == 1
    assert f"graphs/{lost.name}: absent or cut short" in text


def test_without_the_library_check_asks_for_the_images_versions(model: Path) -> None:
    versions = neuron.versions_here(neuron_settings(model, library=neuron.LIBRARY))
    assert versions == neuron.image_versions()
    assert versions["transformers-neuronx"] == "0.13.1216"


def _artifacts(settings: Settings, tmp_path: Path, *, with_checkpoint: bool = False) -> str:
    compile_artifacts(settings, tmp_path / "made", with_checkpoint=with_checkpoint)
    push(tmp_path / "made", Store(str(tmp_path / "store")), workers=2)
    return str(tmp_path / "store")


async def test_a_start_fetches_its_graphs_and_says_how_long_each_stage_took(model: Path, tmp_path: Path) -> None:
    url = _artifacts(neuron_settings(model), tmp_path)
    sink = CountingSink()
    made = await assemble(neuron_settings(model, artifacts=url), replica_id="r", sink=sink)
    await made.close(drain_s=0)
    assert list(made.startup_s) == ["artifacts", "weights", "graphs", "runner", "tokenizer", "canary"]


async def test_artifacts_can_carry_the_checkpoint(model: Path, tmp_path: Path) -> None:
    url = _artifacts(neuron_settings(model), tmp_path, with_checkpoint=True)
    elsewhere = neuron_settings(model, artifacts=url)
    elsewhere = elsewhere.model_copy(update={"model": elsewhere.model.model_copy(update={"name": "tiny-mistral"})})
    made = await assemble(elsewhere, replica_id="r", sink=CountingSink())
    try:
        models = await asgi.openai_client(made.app).models.list()
        assert [m.id for m in models.data] == ["tiny-mistral"]
    finally:
        await made.close(drain_s=0)


CHANGED: dict[str, Any] = {
    "decode_buckets": [128, 256],
    "prefill_buckets": [64, 128],
    "sampling": "host",
    "global_top_k": 8,
    "tp_degree": 1,
    "amp": "f32",
    "attention_layout": "HSB",
    "fuse_qkv": False,
    "model_revision": "abc",
}


@pytest.mark.parametrize("name", CHANGED)
async def test_a_start_that_would_compile_is_refused_with_the_settings_name(
    name: str, model: Path, tmp_path: Path
) -> None:
    url = _artifacts(neuron_settings(model), tmp_path)
    changed = neuron_settings(model, artifacts=url, **{name: CHANGED[name]})
    with pytest.raises(SetupError, match=f"was compiled for something else: {name}: made with"):
        await assemble(changed, replica_id="r", sink=CountingSink())


async def test_a_start_with_another_compiler_or_flags_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P15: the library itself would load what another compiler made without a word."""
    url = _artifacts(neuron_settings(model), tmp_path)
    monkeypatch.setenv("NEURON_CC_FLAGS", "-O1")
    monkeypatch.setitem(neuron_library.VERSIONS, "neuronx-cc", "2.21")
    with pytest.raises(
        SetupError, match=r"neuronx-cc: made with none, this start has 2\.21; compiler_flags: made with"
    ):
        await assemble(neuron_settings(model, artifacts=url), replica_id="r", sink=CountingSink())


def test_a_compilation_that_failed_says_that_the_cache_remembers(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P17."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("neuronx-cc ended with 70")

    monkeypatch.setattr(neuron_library, "compile_graphs", fail)
    with pytest.raises(SetupError, match=r"ended with 70.*--retry_failed_compilation"):
        compile_artifacts(neuron_settings(model), tmp_path / "made", with_checkpoint=False)
    assert not list(tmp_path.glob("*made*"))


def test_graphs_are_never_added_to_older_ones(model: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(SetupError, match="name a folder that does not"):
        compile_artifacts(neuron_settings(model), tmp_path / "made", with_checkpoint=False)


async def test_a_plan_that_does_not_fit_is_refused_before_anything_is_fetched(model: Path, tmp_path: Path) -> None:
    url = _artifacts(neuron_settings(model), tmp_path)
    tight = neuron_settings(model, artifacts=url, core_memory_gib=0.0001, reserve_gib=0)
    with pytest.raises(SetupError, match="do not fit on a NeuronCore"):
        await assemble(tight, replica_id="r", sink=CountingSink())
    assert not (tmp_path / "cache" / "neuron").exists()
