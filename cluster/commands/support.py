"""Print what runs with what and until when, or judge one combination.

Without flags: the table of Neuron SDKs and the dates of end of support, with sources. With flags: what the table knows against
the combination. Exit codes: 0, 1 where a pair is broken, 2 where a flag's value is no version or no date.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, fields

from cluster import support
from cluster.errors import Refused
from cluster.support import Combination, Problem

_FLAGS = {
    "sdk": "Neuron SDK of the image, or the image with its tag",
    "runtime": "Neuron runtime library in the image (default: the SDK's)",
    "driver": "Neuron kernel driver on the node",
    "ami": "the node's AMI: a date, or an alias such as al2023@v20260618 or al2023@latest",
    "python": "Python of the image, for example 3.10",
    "head_python": "Python of Ray's head",
    "ray": "Ray of the image",
    "head_ray": "Ray of the head",
    "kuberay": "KubeRay operator",
}
_COLUMNS = ("sdk", "date", "transformers_neuronx", "torch_neuronx", "neuronx_cc", "runtime", "driver", "python")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags."""
    for name, text in _FLAGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VERSION", help=text)
    parser.add_argument("--no-library", action="store_true", help="the image need not carry transformers-neuronx")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the table, or the judgement."""
    given = {name: getattr(args, name) for name in _FLAGS if getattr(args, name) is not None}
    if "sdk" in given:
        given["sdk"] = support.sdk_of_image(given["sdk"]) or given["sdk"]
    combination = Combination(**given, library=not args.no_library)
    if unreadable := support.unreadable(combination):
        raise Refused("; ".join(unreadable) + ".")
    found = support.problems(combination)
    if args.output == "json":
        document = {
            "schema": support.SCHEMA,
            "combination": asdict(combination),
            "problems": [asdict(problem) for problem in found],
            "table": support.data(),
        }
        print(json.dumps(document, indent=2))
    elif given:
        _print_judgement(combination, found)
    else:
        _print_table()
    return int(any(problem.severity == "error" for problem in found))


def _print_judgement(combination: Combination, found: list[Problem]) -> None:
    known = {field.name: getattr(combination, field.name) for field in fields(combination)}
    print("judged: " + ", ".join(f"{name} {value}" for name, value in known.items() if isinstance(value, str)))
    for problem in found:
        print(f"{problem.severity}: {problem.pair}: {problem.message}\n    {problem.source}")
    if not found:
        print("the table knows nothing against it")


def _print_table() -> None:
    rows = [_COLUMNS, *[tuple(_cell(row[c]) for c in _COLUMNS) for row in support.data()["releases"]]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    ray, kuberay = support.data()["ray"], support.data()["kuberay"]
    print(f"\nour workers: SDK {support.served_sdk()}")
    print(f"Ray {ray['version']} on Python {', '.join(ray['python'])}; KubeRay {kuberay['pinned']}")
    for rule in support.data()["driver_needs_runtime"]:
        print(
            f"driver ≥ {rule['driver']} (since {rule['since']}) needs runtime ≥ {rule['runtime']}: else {rule['why']}"
        )
        print(f"AL2023 Neuron AMIs take the newest driver when they are built: from {rule['since']} on, that one")
    print()
    for event in support.data()["events"]:
        print(f"{event['date']}  {event['what']}")
    print("\nsources:", *support.data()["sources"].values(), sep="\n  ")


def _cell(value: str | list[str] | None) -> str:
    return ", ".join(value) if isinstance(value, list) else value or "-"
