"""The command line: one module of `cluster.commands` a command; this file only joins them."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from cluster import commands
from cluster.errors import ClusterError, Refused


class Command(Protocol):
    """What every module of `cluster.commands` offers; its docstring's first line is its help."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare flags and operands."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code. Raises ClusterError for what a user can mend."""


def build_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of every command, found by walking `cluster.commands`.

    Only the command that `argv` asks for is imported, all where it is None: `deploy local` must not need what only a cluster or
    the rehearsal needs, and its environment does not have it. Raises Refused where a package of that command is missing.
    """
    parser = argparse.ArgumentParser(
        prog="python -m cluster", description="Lint, plan, deploy, explain and destroy the chatbot."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for info in sorted(pkgutil.iter_modules(commands.__path__), key=lambda i: i.name):
        name = info.name.replace("_", "-")
        text = _docstring(info.name)
        sub = subparsers.add_parser(
            name,
            help=text.split("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if argv is None or name in argv[:1]:
            module = _module(info.name)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def _docstring(name: str) -> str:
    source = Path(commands.__path__[0], f"{name}.py").read_text("utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").strip()


def _module(name: str) -> Command:
    try:
        return cast(Command, importlib.import_module(f"{commands.__name__}.{name}"))
    except ModuleNotFoundError as error:
        raise Refused(
            f"{name} needs the package {error.name}, which is not installed here: "
            "run `make setup-eks`, or for the rehearsal `make setup-rehearsal`."
        ) from error


def main(argv: Sequence[str]) -> int:
    """Run one command; a user's mistake is one sentence on stderr, never a traceback."""
    try:
        args = build_parser(argv).parse_args(argv)
        code = cast(int, args.run(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, `head` for one, has seen enough; the exit's own flush must not say it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
