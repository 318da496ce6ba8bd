"""Move compiled graphs, and ask before a start whether it would compile.

push   a folder that `compile` made, to another folder or to s3://bucket/prefix
pull   the other way, into a folder; only what differs is fetched
check  compare the artifacts with the settings of a start: exit code 0 if it would not compile, 1 with what changed
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from serving import neuron, setting_flags
from serving.artifacts.manifest import Manifest
from serving.artifacts.store import Store
from serving.artifacts.transfer import Transfer, pull, push
from serving.errors import SetupError
from serving.model.progress import Bar

WORKERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text, operands in (
        ("push", "a folder that `compile` made, to another folder or to s3://bucket/prefix", ("FOLDER", "STORE")),
        (
            "pull",
            "from a folder or s3://bucket/prefix into a folder; only what differs is fetched",
            ("STORE", "FOLDER"),
        ),
        ("check", "would a start with these settings compile? 0: no, 1: yes, and this is why", ("STORE",)),
    ):
        sub = verbs.add_parser(verb, help=text, description=text)
        for operand in operands:
            sub.add_argument(operand.lower(), metavar=operand)
        if verb == "check":
            setting_flags.add(sub, setting_flags.NEURON)
        else:
            sub.add_argument("--workers", type=int, default=WORKERS, help="files at once (default: %(default)s)")
        sub.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how facts are printed")


def run(args: argparse.Namespace) -> int:
    """Do the chosen verb and return the exit code. Raises SetupError for what a user can mend."""
    code, facts, text = {"push": _push, "pull": _pull, "check": _check}[args.verb](args)
    sys.stdout.write((json.dumps(facts, indent=2) if args.output == "json" else text) + "\n")
    return code


def _push(args: argparse.Namespace) -> tuple[int, dict[str, Any], str]:
    with Bar() as bar:
        done = push(Path(args.folder), Store(args.store), workers=args.workers, progress=bar.show)
    return (
        0,
        _facts("pushed", args, done),
        f"{args.store}: {len(done.moved)} files pushed, {len(done.kept)} there already",
    )


def _pull(args: argparse.Namespace) -> tuple[int, dict[str, Any], str]:
    with Bar() as bar:
        done = pull(Store(args.store, to_read=True), Path(args.folder), workers=args.workers, progress=bar.show)
    return 0, _facts("pulled", args, done), f"{args.folder}: {len(done.moved)} files fetched, {len(done.kept)} intact"


def _check(args: argparse.Namespace) -> tuple[int, dict[str, Any], str]:
    settings = setting_flags.settings(args, setting_flags.NEURON, runner__kind="neuron")
    store = Store(args.store, to_read=True)
    manifest = store.manifest()
    if manifest is None:
        raise SetupError(f"{store.url} holds no compiled graphs: push them with `python -m serving artifacts push`.")
    versions = neuron.versions_here(settings)
    changed = neuron.would_compile(settings, manifest, versions=versions)
    absent = _absent(store, manifest)
    lines = [str(change) for change in changed] + [f"{path}: absent or cut short" for path in absent]
    facts = {
        "schema": "chatbot.neuron-artifacts-check/v1",
        "store": store.url,
        "would_compile": bool(lines),
        "changes": [{"input": c.name, "made_with": c.made_with, "wanted": c.wanted} for c in changed],
        "absent": absent,
        "versions": versions,
    }
    if not lines:
        return 0, facts, f"{store.url} goes with these settings: a start will not compile."
    return 1, facts, "\n".join([f"{store.url} does not go with these settings:", *lines])


def _absent(store: Store, manifest: Manifest) -> list[str]:
    return [entry.path for entry in manifest.files if store.size(entry.path) != entry.bytes]


def _facts(what: str, args: argparse.Namespace, done: Transfer) -> dict[str, Any]:
    return {
        "schema": f"chatbot.neuron-artifacts-{what}/v1",
        "store": args.store,
        "folder": args.folder,
        "moved": sorted(done.moved),
        "kept": sorted(done.kept),
    }
