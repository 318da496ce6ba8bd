"""Stand the chatbot up on a target, and return when a real chat request was answered.

Run it again and nothing changes, unless the code or the configuration did. Where the chatbot wants an API key,
CHATBOT_API_KEY holds it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from types import FrameType
from typing import Any

import yaml

from cluster.chat_request import model_id
from cluster.errors import Refused
from cluster.settings import from_environment
from cluster.targets import Options, open_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("target", nargs="?", default="local", metavar="TARGET", help="where (%(default)s)")
    local = parser.add_argument_group("on this machine")
    local.add_argument("--port", type=_port, help="port of the HTTP face, instead of the Serve config's 8000")
    local.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="GROUP.NAME=VALUE",
        help="a setting of the chatbot, or an option of its Serve deployment as deployment.NAME; may be repeated",
    )
    on_cluster = parser.add_argument_group("on a cluster")
    on_cluster.add_argument("--force-conflicts", action="store_true", help="take over fields that others manage")


def run(args: argparse.Namespace) -> int:
    """Deploy, and print where it answers."""
    settings = from_environment()
    options = Options(port=args.port, force_conflicts=args.force_conflicts, settings=_settings(args.set))
    target = open_target(args.target, settings, _tell, options)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    target.up()
    _print_addresses(target.endpoint(), settings.api_key)
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first one ends the deploy, which then removes what it has begun; the next ones must not end that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _tell(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


def _print_addresses(base_url: str, api_key: str | None) -> None:
    body = {"model": model_id(base_url, api_key=api_key), "messages": [{"role": "user", "content": "Hello!"}]}
    print(f"Chat page  {base_url}/ui/")
    print(f"API        {base_url}/v1")
    print(f"Try        curl {base_url}/v1/chat/completions -H 'Content-Type: application/json' -d '{json.dumps(body)}'")


def _settings(assignments: list[str]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        group, _, setting = name.partition(".")
        if not (equals and group and setting) or "." in setting:
            raise Refused(f"--set {assignment}: write GROUP.NAME=VALUE, for example runner.kind=simulated.")
        try:
            nested.setdefault(group, {})[setting] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise Refused(f"--set {assignment}: the value is not YAML.") from error
    return nested


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no TCP port: choose one from 1 to 65535")
    return int(text)
