"""What a folder of model files says of its model: tokenizer, chat template, limits, and the OpenVINO graph if any.

Reads the file names and keys that Hugging Face checkpoints use, so that a folder that other tools wrote opens as well
as one that `serving.model.prepare` made. Nothing here loads weights.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.engine.request import SamplingParams
from serving.errors import SetupError

MANIFEST = "model.json"  # what `prepare` adds: sources, checksums, builder version
_BITS = {"i4": 4, "u4": 4, "nf4": 4, "i8": 8, "u8": 8, "f16": 16, "bf16": 16, "f32": 32}
_MOST = {"temperature": 2.0, "top_p": 1.0, "top_k": 1e6, "min_p": 1.0}  # what the API takes; 0 is the least of each


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model's files and the facts in them that the rest of the server needs."""

    path: Path
    model_id: str  # what /v1/models lists
    ir_xml: Path | None  # the OpenVINO graph; None in a folder that only holds a tokenizer
    tokenizer_json: Path
    chat_template: str  # Jinja; empty when the model has none, and then only completions can be asked
    bos_token: str | None
    eos_token: str | None
    eos_token_ids: frozenset[int]
    longest_context: int  # positions that the model was made for, in tokens
    vocabulary: int  # rows of the output head
    weight_bits: int  # of most of the graph's weights; 0 without a graph
    sampling: SamplingParams  # what its makers recommend, for what a request leaves open

    @classmethod
    def open(cls, path: Path) -> ModelFolder:
        """Read `path`. Raises SetupError with one sentence about the file or key that is missing or wrong."""
        config = _json(path / "config.json")
        tokenizer = _json(path / "tokenizer.json")
        tokenizer_config = _json(path / "tokenizer_config.json", optional=True)
        manifest = _json(path / MANIFEST, optional=True)
        eos_token = _token(tokenizer_config.get("eos_token"))
        ir_xml = graph_in(path)
        return cls(
            path=path,
            model_id=str(manifest.get("model_id") or path.resolve().name),
            ir_xml=ir_xml,
            tokenizer_json=path / "tokenizer.json",
            chat_template=_chat_template(path, tokenizer_config),
            bos_token=_token(tokenizer_config.get("bos_token")),
            eos_token=eos_token,
            eos_token_ids=_eos_token_ids(path, config, tokenizer, eos_token),
            longest_context=_longest_context(path, config),
            vocabulary=_positive(path, config, "vocab_size"),
            weight_bits=int(manifest.get("weight_bits") or (_weight_bits(ir_xml) if ir_xml else 0)),
            sampling=_sampling(path),
        )


def _json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if optional:
            return {}
        raise SetupError(f"{path} is missing: a model folder needs config.json and tokenizer.json.") from error
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be read as JSON ({error}): fetch the model again.") from error
    if not isinstance(content, dict):
        raise SetupError(f"{path} must hold a JSON object: fetch the model again.")
    return content


def graph_in(path: Path) -> Path | None:
    """`openvino_model.xml`, or the one graph that is neither a tokenizer's nor a detokenizer's."""
    graphs = sorted(p for p in path.glob("*.xml") if "tokenizer" not in p.name)
    named = [p for p in graphs if p.name == "openvino_model.xml"] or graphs
    if len(named) > 1:
        raise SetupError(f"{path} holds several graphs ({', '.join(p.name for p in named)}): keep one .xml file.")
    if named and not named[0].with_suffix(".bin").is_file():
        raise SetupError(f"{named[0].with_suffix('.bin')} is missing: the graph's weights belong beside it.")
    return named[0] if named else None


def _token(entry: object) -> str | None:
    """A special token, which tokenizer_config.json writes as text or as an object."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else None


def _chat_template(path: Path, tokenizer_config: dict[str, Any]) -> str:
    beside = path / "chat_template.jinja"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    template = tokenizer_config.get("chat_template") or ""
    if isinstance(template, list):  # several, by name
        template = next((t["template"] for t in template if t.get("name") == "default"), "")
    if not isinstance(template, str):
        raise SetupError(f"{path / 'tokenizer_config.json'}: chat_template must be text.")
    return template


def _eos_token_ids(
    path: Path, config: dict[str, Any], tokenizer: dict[str, Any], eos_token: str | None
) -> frozenset[int]:
    """Every token that ends an answer: generation_config.json's (else config.json's) and the tokenizer's own."""
    named = _json(path / "generation_config.json", optional=True).get("eos_token_id", config.get("eos_token_id"))
    listed = named if isinstance(named, list) else [] if named is None else [named]
    if not all(type(token_id) is int for token_id in listed):
        raise SetupError(f"{path}: eos_token_id must be a token's number or a list of them, not {named!r}.")
    ids = set(listed) | {t["id"] for t in tokenizer.get("added_tokens", ()) if t.get("content") == eos_token}
    if not ids:
        raise SetupError(f"{path}: no end-of-sequence token; name eos_token_id in config.json.")
    return frozenset(ids)


def _sampling(path: Path) -> SamplingParams:
    """generation_config.json's temperature, top_p, top_k and min_p; OpenAI's defaults for those it does not name."""
    file = path / "generation_config.json"
    named = _json(file, optional=True)
    found = {key: named[key] for key in _MOST if named.get(key) is not None}
    for key, value in found.items():
        whole = isinstance(value, int)  # half a candidate is none
        if not isinstance(value, (int, float)) or not 0 <= value <= _MOST[key] or (key == "top_k" and not whole):
            raise SetupError(f"{file}: {key} must be a number from 0 to {_MOST[key]:g}, not {value!r}.")
    return SamplingParams(**found)


def _longest_context(path: Path, config: dict[str, Any]) -> int:
    """The model's positions; a sliding window shortens them, since within the window both kinds of attention agree."""
    positions = _positive(path, config, "max_position_embeddings")
    return min(positions, _positive(path, config, "sliding_window")) if config.get("sliding_window") else positions


def _positive(path: Path, config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value <= 0:
        raise SetupError(f"{path / 'config.json'}: {key} must be a positive number, not {value!r}.")
    return value


def _weight_bits(ir_xml: Path) -> int:
    """Bits of the element type that holds most bytes of the graph's constants."""
    bytes_by_type: dict[str, int] = {}
    try:
        for _, node in ElementTree.iterparse(ir_xml):  # noqa: S314 - see the import
            if node.tag == "data" and "offset" in node.attrib:
                kind = node.attrib.get("element_type", "")
                bytes_by_type[kind] = bytes_by_type.get(kind, 0) + int(node.attrib.get("size", 0))
    except (ElementTree.ParseError, ValueError) as error:
        raise SetupError(f"{ir_xml} cannot be read as an OpenVINO graph ({error}).") from error
    weights = {kind: size for kind, size in bytes_by_type.items() if kind in _BITS}
    if not weights:
        raise SetupError(f"{ir_xml} holds no weights.")
    return _BITS[max(weights, key=lambda kind: weights[kind])]
