"""Stream one answer into the terminal. Where the chatbot wants an API key, CHATBOT_API_KEY holds it."""

from __future__ import annotations

import argparse

from cluster.chat_request import stream_chat
from cluster.settings import from_environment
from cluster.targets import open_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("target", nargs="?", default="local", metavar="TARGET", help="where (%(default)s)")
    parser.add_argument("--prompt", required=True, help="what to ask")
    parser.add_argument("--max-tokens", type=int, default=256, help="longest answer (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.7, help="0 is greedy (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Ask, and print as it comes."""
    settings = from_environment()
    base_url = open_target(args.target, settings, lambda _: None).endpoint()
    sampling = {"max_tokens": args.max_tokens, "temperature": args.temperature}
    for text in stream_chat(base_url, args.prompt, sampling=sampling, api_key=settings.api_key):
        print(text, end="", flush=True)
    print()
    return 0
