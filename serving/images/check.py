"""A step of the worker image's build: the vendor's packages are there in the versions that this code was written for.

The public index has empty packages under their names (P18), and a worker that got one would fail an hour later.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Mapping
from importlib import resources

DISTRIBUTIONS = ("transformers-neuronx", "neuronx-cc", "torch-neuronx")


def problems(found: Mapping[str, str | None], wanted: Mapping[str, str], *, python: str) -> list[str]:
    """What is wrong with the versions `found`; a build's suffix does not count."""
    lines = []
    for name in DISTRIBUTIONS:
        version = found[name]
        if version is None:
            lines.append(f"{name} is absent: this is not the Neuron image {wanted['image']}")
        elif version == "0.1":
            lines.append(f"{name} 0.1 is the public index's empty placeholder: install it from the vendor's index")
        elif not f"{version.partition('+')[0]}.".startswith(f"{wanted[name]}."):
            lines.append(f"{name} is {version}, this code was written for {wanted[name]}")
    if python != wanted["python"]:
        lines.append(f"Python is {python}, the image's is {wanted['python']}")
    return lines


def wanted() -> dict[str, str]:
    """The image and its versions."""
    text = (resources.files("serving.images") / "neuron-versions.json").read_text(encoding="utf-8")
    return {name: str(value) for name, value in json.loads(text).items()}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> int:
    """Exit code 1 with a line for each problem."""
    found = {name: _version(name) for name in DISTRIBUTIONS}
    lines = problems(found, wanted(), python=f"{sys.version_info.major}.{sys.version_info.minor}")
    sys.stderr.writelines(f"error: {line}\n" for line in lines)
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
