from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving.engine.request import SamplingParams
from serving.errors import SetupError
from serving.model.folder import ModelFolder
from tests.support import checkpoints, tokenizers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoints.write(tmp_path / "tiny")
    return tmp_path / "tiny"


def change(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_a_folder_says_what_its_files_say(folder: Path) -> None:
    opened = ModelFolder.open(folder)
    assert (opened.model_id, opened.ir_xml, opened.weight_bits) == ("tiny", None, 0)
    assert (opened.vocabulary, opened.longest_context) == (272, 256)
    assert (opened.bos_token, opened.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert opened.chat_template == tokenizers.TEMPLATE
    assert opened.eos_token_ids == {2, tokenizers.token(tokenizers.byte_level(), "<|im_end|>")}


def test_generation_config_names_more_tokens_that_end_an_answer(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    assert ModelFolder.open(folder).eos_token_ids > {7, 8}


def test_generation_config_recommends_sampling_and_openai_fills_the_rest(folder: Path) -> None:
    assert ModelFolder.open(folder).sampling == SamplingParams()
    (folder / "generation_config.json").write_text('{"temperature": 0.2, "top_k": null, "top_p": 0.9}')
    assert ModelFolder.open(folder).sampling == SamplingParams(temperature=0.2, top_p=0.9)


@pytest.mark.parametrize("wrong", ['{"temperature": "hot"}', '{"min_p": 1.5}', '{"top_p": NaN}', '{"top_k": 40.5}'])
def test_a_recommended_sampling_that_the_api_would_refuse_is_refused(folder: Path, wrong: str) -> None:
    (folder / "generation_config.json").write_text(wrong)
    with pytest.raises(SetupError, match=r"generation_config\.json: \w+ must be a number from 0 to"):
        ModelFolder.open(folder)


def test_a_token_may_be_written_as_an_object(folder: Path) -> None:
    change(folder / "tokenizer_config.json", eos_token={"content": "<|im_end|>", "lstrip": False})
    assert ModelFolder.open(folder).eos_token == "<|im_end|>"


def test_the_template_may_be_a_file_or_one_of_several_or_absent(folder: Path) -> None:
    several = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    change(folder / "tokenizer_config.json", chat_template=several)
    assert ModelFolder.open(folder).chat_template == "D"
    (folder / "chat_template.jinja").write_text("J")
    assert ModelFolder.open(folder).chat_template == "J"
    (folder / "chat_template.jinja").unlink()
    change(folder / "tokenizer_config.json", chat_template=None)
    assert ModelFolder.open(folder).chat_template == ""


@pytest.mark.parametrize(("window", "longest"), [(None, 256), (64, 64), (1024, 256)])
def test_a_sliding_window_shortens_the_context_to_where_it_changes_nothing(
    folder: Path, window: int | None, longest: int
) -> None:
    change(folder / "config.json", sliding_window=window)
    assert ModelFolder.open(folder).longest_context == longest


@pytest.mark.parametrize(
    ("change_of_config", "named"),
    [({"sliding_window": "wide"}, "sliding_window"), ({"eos_token_id": "</s>"}, "eos_token_id"), ({"eos_token_id": [[2]]}, "eos_token_id")],
)  # fmt: skip
def test_a_value_of_another_kind_is_named(folder: Path, change_of_config: dict[str, Any], named: str) -> None:
    change(folder / "config.json", **change_of_config)
    with pytest.raises(SetupError, match=f"{named} must be"):
        ModelFolder.open(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(SetupError, match=f"{name} is missing"):
        ModelFolder.open(folder)


@pytest.mark.parametrize("content", ["{", "[]", "\0"])
def test_a_damaged_file_is_named(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(SetupError, match=r"config\.json .* fetch the model again"):
        ModelFolder.open(folder)


@pytest.mark.parametrize("key", ["vocab_size", "max_position_embeddings"])
def test_a_wrong_number_is_named(folder: Path, key: str) -> None:
    change(folder / "config.json", **{key: 0})
    with pytest.raises(SetupError, match=key):
        ModelFolder.open(folder)


def test_a_model_that_never_ends_is_refused(folder: Path) -> None:
    change(folder / "config.json", eos_token_id=None)
    change(folder / "tokenizer_config.json", eos_token=None)
    with pytest.raises(SetupError, match="no end-of-sequence token"):
        ModelFolder.open(folder)


def graph(path: Path, element_type: str = "i8") -> None:
    path.write_text(
        f'<net><layers><layer><data element_type="{element_type}" offset="0" size="900"/></layer>'
        '<layer><data element_type="f32" offset="900" size="100"/></layer></layers></net>'
    )
    path.with_suffix(".bin").write_bytes(b"")


def test_a_ready_graph_is_found_beside_its_tokenizers_graphs(folder: Path) -> None:
    for name in ("openvino_model", "openvino_tokenizer", "openvino_detokenizer"):
        graph(folder / f"{name}.xml")
    opened = ModelFolder.open(folder)
    assert opened.ir_xml == folder / "openvino_model.xml"
    assert opened.weight_bits == 8


@pytest.mark.parametrize(("element_type", "bits"), [("u4", 4), ("f16", 16), ("f32", 32)])
def test_weight_bits_are_those_of_most_bytes(folder: Path, element_type: str, bits: int) -> None:
    graph(folder / "any_name.xml", element_type)
    assert ModelFolder.open(folder).weight_bits == bits


def test_a_graph_without_weights_or_of_two_minds_is_refused(folder: Path) -> None:
    graph(folder / "a.xml")
    graph(folder / "b.xml")
    with pytest.raises(SetupError, match=r"several graphs \(a\.xml, b\.xml\)"):
        ModelFolder.open(folder)
    (folder / "b.xml").unlink()
    (folder / "a.xml").write_text("<net/>")
    with pytest.raises(SetupError, match="no weights"):
        ModelFolder.open(folder)
    (folder / "a.xml").write_text("<net")
    with pytest.raises(SetupError, match="cannot be read as an OpenVINO graph"):
        ModelFolder.open(folder)
    (folder / "a.bin").unlink()
    with pytest.raises(SetupError, match=r"a\.bin is missing"):
        ModelFolder.open(folder)
