"""The command line: each command is a module with `add_arguments` and `run`; this file only joins them."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from serving.errors import ChatbotError

_COMMANDS = {
    "run": "serving.server",
    "model": "serving.model.commands",
    "compile": "serving.artifacts.compile",
    "artifacts": "serving.artifacts.commands",
    "settings": "serving.show_settings",
}


class Command(Protocol):
    """What a command's module offers; its docstring's first line is its help."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare flags and operands."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code. Raises ChatbotError for what a user can mend."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(prog="python -m serving", description="Run the chatbot and prepare its models.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module_name in _COMMANDS.items():
        module = cast(Command, importlib.import_module(module_name))
        text = (module.__doc__ or "").strip()
        sub = subparsers.add_parser(
            name,
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
        return cast(int, args.run(args))
    except ChatbotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
