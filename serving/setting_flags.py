"""Settings on a command line: a flag for what one changes most, `--set GROUP.NAME=VALUE` for everything else."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from serving.errors import SetupError
from serving.settings import Settings, load

Flags = Mapping[str, tuple[str, str]]  # --flag -> the setting's name, and its help

# What the commands around compiled graphs share; all of them mean the neuron runner.
NEURON: Flags = {
    "--model": ("model.name", "the folder of a Mistral checkpoint"),
    "--slots": ("runner.slots", "sequences computed at once"),
    "--positions": ("runner.positions", "tokens that one slot holds; the last of the decode buckets"),
}


def add(parser: argparse.ArgumentParser, flags: Flags) -> None:
    """Declare `flags` and `--set`."""
    for flag, (name, text) in flags.items():
        parser.add_argument(flag, dest=name, metavar=name.rpartition(".")[2].upper(), help=f"{text} ({name})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="GROUP.NAME=VALUE", help="any other setting; may be given again"
    )


def settings(args: argparse.Namespace, flags: Flags, **fixed: str) -> Settings:
    """The settings of a parsed command line; `fixed` are groups' names joined by `__`. Raises SetupError."""
    assigned = {name.replace("__", "."): value for name, value in fixed.items()}
    given = {name: getattr(args, name) for name, _ in flags.values()}
    assigned |= {name: value for name, value in given.items() if value is not None}
    for assignment in args.set:
        name, equals, value = assignment.partition("=")
        if not equals or name.count(".") != 1:
            raise SetupError(f"--set {assignment}: write GROUP.NAME=VALUE, for example runner.slots=4.")
        assigned[name] = value
    nested: dict[str, dict[str, str]] = {}
    for name, value in assigned.items():
        group, _, setting = name.partition(".")
        nested.setdefault(group, {})[setting] = value
    return load(nested)
