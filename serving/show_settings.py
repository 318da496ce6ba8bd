"""The settings in effect, and whether they are right: defaults, the environment, and what a Serve config says.

With `--args -` the Serve config's `args` of the application are read as JSON from standard input, and stand over the environment.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from serving.errors import SetupError
from serving.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("--args", choices=["-"], help="read the application's `args` as JSON from standard input")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how they are printed")


def run(args: argparse.Namespace) -> int:
    """Print them. Raises SetupError with a line for each that is wrong."""
    settings = load(_read(sys.stdin.read()) if args.args else None).model_dump(mode="json")
    shown = json.dumps(settings, indent=2) if args.output == "json" else yaml.safe_dump(settings, sort_keys=False)
    sys.stdout.write(shown.rstrip() + "\n")
    return 0


def _read(document: str) -> Mapping[str, Any]:
    try:
        found = json.loads(document)
    except ValueError as error:
        raise SetupError(f"What stands on standard input is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise SetupError("What stands on standard input is not a JSON object of settings by group.")
    return found
