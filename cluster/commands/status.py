"""What runs where on a target, and is it healthy: exit code 0 when a chat request would be answered, else 1."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from cluster.settings import from_environment
from cluster.targets import Status, open_target

LONGEST_LIST = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("target", nargs="?", default="local", metavar="TARGET", help="where (%(default)s)")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Look, and print."""
    status = open_target(args.target, from_environment(), lambda _: None).status()
    print(as_json(args.target, status) if args.output == "json" else as_text(status))
    return 0 if status.healthy else 1


def as_json(target: str, status: Status) -> str:
    """One document."""
    return json.dumps({"schema": "chatbot.status/v1", "target": target, **asdict(status)}, indent=2)


def as_text(status: Status) -> str:
    """A sentence, then a line for each fact."""
    lines = [status.summary]
    if status.base_url:
        lines.append(f"{'address':<17}{status.base_url}")
    for name, value in status.facts.items():
        texts = list(_texts(value))
        shown = texts if len(texts) <= LONGEST_LIST else [f"{len(texts)}; -o json lists them"]
        lines += [f"{name.replace('_', ' '):<17}{text}" for text in shown]
    return "\n".join(lines)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        yield "  ".join(f"{key} {item}" for key, item in value.items())
    elif value not in (None, ""):
        yield str(value)
