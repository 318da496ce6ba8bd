"""The command line: one module of `cluster.commands` a command; this file only joins them."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from cluster import commands
from cluster.errors import ClusterError


class Command(Protocol):
    """What every module of `cluster.commands` offers; its docstring's first line is its help."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare flags and operands."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code. Raises ClusterError for what a user can mend."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command, found by walking `cluster.commands`."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster", description="Lint, plan, deploy, explain and destroy the chatbot."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for info in sorted(pkgutil.iter_modules(commands.__path__), key=lambda i: i.name):
        module = cast(Command, importlib.import_module(f"{commands.__name__}.{info.name}"))
        text = (module.__doc__ or "").strip()
        sub = subparsers.add_parser(
            info.name.replace("_", "-"),
            help=text.split("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run one command; a user's mistake is one sentence on stderr, never a traceback."""
    args = build_parser().parse_args(argv)
    try:
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
