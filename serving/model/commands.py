"""Prepare, list and locate models.

prepare  fetch or read the weights and build the graph, once, into the cache
list     the known models and the prepared ones
path     the folder of the prepared model
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from serving import settings
from serving.model.catalog import KNOWN
from serving.model.folder import ModelFolder
from serving.model.prepare import find, is_old, manifests, models_folder, prepare
from serving.model.progress import Bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (
        ("prepare", "fetch or read the weights and build the graph, once, into the cache"),
        ("list", "the known models and the prepared ones"),
        ("path", "the folder of the prepared model"),
    ):
        sub = verbs.add_parser(verb, help=text, description=text)
        if verb != "list":
            sub.add_argument(
                "model",
                nargs="?",
                metavar="MODEL",
                help="a name of `model list`, or a folder: a Hugging Face checkpoint or OpenVINO IR (default: the setting model.name)",
            )
        sub.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how facts are printed")


def run(args: argparse.Namespace) -> int:
    """Do the chosen verb and return the exit code. Raises SetupError for what a user can mend."""
    named = getattr(args, "model", None)
    model_settings = settings.load({"model": {"name": named}} if named else None).model
    verbs: dict[str, Callable[[settings.ModelSettings], tuple[dict[str, Any], str]]] = {
        "prepare": _prepare,
        "list": _list,
        "path": _path,
    }
    facts, text = verbs[args.verb](model_settings)
    sys.stdout.write((json.dumps(facts, indent=2) if args.output == "json" else text) + "\n")
    return 0


def _prepare(model_settings: settings.ModelSettings) -> tuple[dict[str, Any], str]:
    began_s = time.monotonic()
    with Bar() as bar:
        folder = prepare(model_settings, progress=bar.show)
    took_s = time.monotonic() - began_s
    facts = {"schema": "chatbot.model-prepared/v1", **_facts(folder), "took_s": round(took_s, 2)}
    return facts, f"{folder.model_id} is ready in {folder.path} ({facts['bytes'] / 1e6:.0f} MB, {took_s:.1f} s)"


def _path(model_settings: settings.ModelSettings) -> tuple[dict[str, Any], str]:
    folder = find(model_settings)
    return {"schema": "chatbot.model-path/v1", **_facts(folder)}, str(folder.path)


def _list(model_settings: settings.ModelSettings) -> tuple[dict[str, Any], str]:
    rows = [_row(m.name, licence=m.licence, description=m.description) for m in KNOWN.values()]
    prepared = manifests(models_folder(model_settings))
    for path, manifest in sorted(prepared.items(), key=lambda item: is_old(item[1])):  # the old ones last
        old = is_old(manifest)
        row = next((r for r in rows if r["model"] == manifest["model_id"] and (old or r["prepared"] is None)), None)
        if row is None:
            rows.append(row := _row(manifest["model_id"]))
        if old:
            row["old_builds"].append(str(path))
        else:
            row["prepared"] = str(path)
    return {"schema": "chatbot.models/v1", "models": rows}, "\n".join(line for row in rows for line in _lines(row))


def _row(name: str, *, licence: str | None = None, description: str | None = None) -> dict[str, Any]:
    return {"model": name, "prepared": None, "old_builds": [], "licence": licence, "description": description}


def _lines(row: dict[str, Any]) -> Iterator[str]:
    yield f"{row['model']:<28} {row['prepared'] or 'not prepared'}"
    for path in row["old_builds"]:
        yield f"{'':<28} an old build, which nothing uses: rm -r {path}"


def _facts(folder: ModelFolder) -> dict[str, Any]:
    return {
        "model": folder.model_id,
        "path": str(folder.path),
        "weight_bits": folder.weight_bits,
        "vocabulary": folder.vocabulary,
        "longest_context_tokens": folder.longest_context,
        "bytes": sum(p.stat().st_size for p in folder.path.iterdir() if p.is_file()),
    }
