"""Compile the graphs of a Mistral checkpoint for Trainium, once, into a folder of artifacts.

Runs on a trn1 or on any machine that has the Neuron image's packages: no chip is needed, 32 GiB of memory are. What it
writes goes to a bucket with `artifacts push`, and every replica fetches it from there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving import neuron, setting_flags
from serving.artifacts import manifest
from serving.artifacts.manifest import CHECKPOINT, GRAPHS, NAME, Manifest
from serving.errors import SetupError
from serving.model.safetensors_checkpoint import shards
from serving.neuron import Planned
from serving.settings import Settings, neuron_environment

_RETRY = "--retry_failed_compilation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    setting_flags.add(parser, setting_flags.NEURON)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the artifacts go; made new")
    parser.add_argument(
        "--with-checkpoint", action="store_true", help="put the model's files in, so that a node needs nothing else"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how facts are printed")


def run(args: argparse.Namespace) -> int:
    """Compile and return the exit code. Raises SetupError for what a user can mend."""
    settings = setting_flags.settings(args, setting_flags.NEURON, runner__kind="neuron")
    began_s = time.monotonic()
    made = compile_artifacts(settings, args.out, with_checkpoint=args.with_checkpoint)
    facts = {
        "schema": "chatbot.neuron-compiled/v1",
        "path": str(args.out),
        "graphs": sum(entry.path.startswith(GRAPHS) for entry in made.files),
        "bytes": made.total_bytes,
        "took_s": round(time.monotonic() - began_s, 1),
        "inputs": dict(made.inputs),
    }
    text = f"{facts['graphs']} graphs in {args.out} ({made.total_bytes / 1e6:.0f} MB, {facts['took_s']} s)"
    sys.stdout.write((json.dumps(facts, indent=2) if args.output == "json" else text) + "\n")
    return 0


def compile_artifacts(settings: Settings, out: Path, *, with_checkpoint: bool) -> Manifest:
    """The artifacts of `settings` in `out`, whole or not at all. Raises SetupError."""
    if out.exists():
        raise SetupError(f"{out} exists: name a folder that does not, so that no older graph lies among the new ones.")
    planned = neuron.plan(settings)
    library = neuron.library_of(settings.neuron)
    wanted = neuron.wanted_inputs(settings, None, versions=library.versions())
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        (work / GRAPHS).mkdir()
        with _compiling():
            library.compile_graphs(
                planned.folder.path, planned.plan, planned.shape, into=work / GRAPHS, stage=_say_stage
            )
        _check_count(work / GRAPHS, planned)
        if with_checkpoint:
            _place_checkpoint(planned.folder.path, work / CHECKPOINT / planned.folder.model_id)
        made = manifest.describe(work, wanted)
        (work / NAME).write_bytes(made.encode())
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made


@contextmanager
def _compiling() -> Iterator[None]:
    """A failed compilation is remembered by the vendor's cache: say how to get past it (P17)."""
    try:
        yield
    except SetupError:
        raise
    except Exception as error:
        hint = "" if _RETRY in neuron_environment().get("NEURON_CC_FLAGS", "") else f"; then add {_RETRY} to it"
        raise SetupError(
            f"The compiler failed ({type(error).__name__}: {error}). The cache remembers that: mend the cause, and set "
            f"NEURON_CC_FLAGS to what you compile with{hint}."
        ) from error


def _check_count(graphs: Path, planned: Planned) -> None:
    wanted = len(planned.plan.decode_buckets) + len(planned.plan.prefill_buckets)
    found = len(list(graphs.iterdir()))
    if found != wanted:
        raise SetupError(f"The library wrote {found} graphs, one for each of {wanted} buckets was expected.")


def _place_checkpoint(checkpoint: Path, into: Path) -> None:
    """The model's files, as links where the disk allows it: they are large."""
    into.mkdir(parents=True)
    beside = [path for path in checkpoint.iterdir() if path.suffix in (".json", ".jinja", ".model")]
    for path in {*beside, *shards(checkpoint)}:
        _link_or_copy(path.resolve(), into / path.name)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


@contextmanager
def _say_stage(name: str) -> Iterator[None]:
    began_s = time.monotonic()
    sys.stderr.write(f"{name} …\n")
    yield
    sys.stderr.write(f"{name}: {time.monotonic() - began_s:.1f} s\n")
