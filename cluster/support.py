"""What runs with what, until when: Neuron SDK, library, runtime, driver, AMI, Python, Ray, KubeRay. Pure, over dated data.

The runtime is in the image and the driver on the node, so the pair is chosen by two people; `problems` tells what the
vendor says of it. lint, and deploy before its first write, ask it with what they know of manifests and cluster; a field
that is None is not judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Literal, cast

SCHEMA = "chatbot.support/v1"
_EXAMPLES = {"sdk": "2.25.0", "runtime": "2.27.23", "driver": "2.23.9", "python": "3.10", "head_python": "3.10",
             "ray": "2.60.0", "head_ray": "2.60.0", "kuberay": "1.6.1"}  # fmt: skip
_AMI = re.compile(r"(?:^|@|v)(\d{4})-?(\d{2})-?(\d{2})$")
_VERSION = re.compile(r"\d+(\.\d+)+")
_IMAGE_SDK = re.compile(r"sdk(\d+(?:\.\d+)+)")


@dataclass(frozen=True, slots=True)
class Combination:
    """What is about to run together; None where it is not known."""

    sdk: str | None = None  # of the image
    library: bool = True  # whether the image has to carry transformers-neuronx
    runtime: str | None = None  # of the image; by default the SDK's
    driver: str | None = None  # of the node
    ami: str | None = None  # its date, or an alias that ends with one: al2023@v20260618
    python: str | None = None  # of the image
    head_python: str | None = None  # of Ray's head, when its image is another
    ray: str | None = None  # of the image
    head_ray: str | None = None  # of Ray's head, when its image is another
    kuberay: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One pair that does not go together, or goes on nobody's promise."""

    severity: Literal["error", "warning"]
    pair: str
    message: str
    source: str


@cache
def data() -> Mapping[str, Any]:
    """The table, as it is."""
    text = (resources.files("cluster") / "support.json").read_text(encoding="utf-8")
    return cast("Mapping[str, Any]", json.loads(text))


def release(sdk: str) -> Mapping[str, Any] | None:
    """The table's row of an SDK: the same version, or the newest of the same minor."""
    rows = cast("list[Mapping[str, Any]]", data()["releases"])
    same = [row for row in rows if row["sdk"] == sdk]
    near = [row for row in rows if version(row["sdk"])[:2] == version(sdk)[:2]]
    candidates = same or near
    return candidates[-1] if candidates else None


def served_sdk() -> str:
    """The SDK that this code's own workers are built on (serving/images), whatever their image is called."""
    return str(data()["served"]["sdk"])


def sdk_of_image(image: str) -> str | None:
    """The SDK that an image's tag names."""
    found = _IMAGE_SDK.search(image)
    return found.group(1) if found else None


def version(text: str) -> tuple[int, ...]:
    """For comparison: the numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def runs_with(driver: str, runtime: str) -> bool:
    """Whether the vendor says that this driver takes this runtime library."""
    return not any(
        version(driver) >= version(rule["driver"]) and version(runtime) < version(rule["runtime"])
        for rule in data()["driver_needs_runtime"]
    )


def has_library(sdk: str) -> bool:
    """Whether images of this SDK carry transformers-neuronx."""
    return version(sdk)[:2] < version(data()["library_ended"]["first_sdk_without_image"])[:2]


def driver_of_ami(ami: str) -> str | None:
    """The least driver of an AL2023 Neuron AMI: the newest at its date, for the build installs that, unpinned.

    Only releases of the table count, so the true one may be newer by a minor; None when `ami` names no date.
    """
    built = _built(ami)
    if built is None:
        return None
    before = [row["driver"] for row in data()["releases"] if date.fromisoformat(row["date"]) <= built]
    return before[-1] if before else None


def unreadable(combination: Combination) -> list[str]:
    """What of it says nothing that could be judged, each with what to write instead; by a person, not by a manifest."""
    found = []
    for field in fields(combination):
        value = getattr(combination, field.name)
        if not isinstance(value, str):
            continue
        if field.name == "ami":
            if _built(value) is None and not value.endswith("@latest"):
                found.append(f"{value!r} names no AMI by its date: write 2026-06-18, al2023@v20260618 or al2023@latest")
        elif not _VERSION.fullmatch(value):
            name = field.name.replace("_", "-")
            found.append(
                f"{value!r} is no version for {name}: write numbers with dots, such as {_EXAMPLES[field.name]}"
            )
    return found


def errors(combination: Combination) -> list[Problem]:
    """The pairs that cannot run."""
    return [problem for problem in problems(combination) if problem.severity == "error"]


def problems(combination: Combination) -> list[Problem]:
    """Everything that the table knows against it, errors first."""
    found = [
        *_known(combination),
        *_library(combination),
        *_driver(combination),
        *_python(combination),
        *_ray(combination),
    ]
    return sorted(found, key=lambda problem: problem.severity)


def _known(combination: Combination) -> Iterator[Problem]:
    """A release that the table does not hold is not one that it knows nothing against."""
    if combination.sdk is None or release(combination.sdk):
        return
    rows = data()["releases"]
    message = (
        f"SDK {combination.sdk} is not in the table, which goes from {rows[0]['sdk']} to {rows[-1]['sdk']}: "
        "its runtime and its Python are not judged"
    )
    yield Problem("warning", "sdk", message, _source(rows[-1]))


def _library(combination: Combination) -> Iterator[Problem]:
    if combination.sdk is None or not combination.library:
        return
    ended = data()["library_ended"]
    if not has_library(combination.sdk):
        message = f"images of SDK {combination.sdk} do not carry transformers-neuronx: the last is {served_sdk()}'s"
        yield Problem("error", "sdk × library", message, _source(ended))
    else:
        message = f"transformers-neuronx is without support since {ended['ended']}; docs/decisions/neuron-successor.md says what follows it"
        yield Problem("warning", "library × date", message, _source(ended))


def _driver(combination: Combination) -> Iterator[Problem]:
    row = release(combination.sdk) if combination.sdk else None
    runtime = combination.runtime or (row["runtime"] if row else None)
    if runtime is None:
        return
    rule = data()["driver_needs_runtime"][0]
    floating = combination.driver is None and (combination.ami or "").endswith("@latest")
    driver = combination.driver or (driver_of_ami(combination.ami) if combination.ami else None)
    if floating and version(runtime) < version(rule["runtime"]):
        message = f"{combination.ami} brings the newest driver, and from {rule['driver']} on that refuses runtime {runtime}: {rule['why']}; pin an AMI from before {rule['since']}"
        yield Problem("error", "driver × runtime", message, _source(rule))
    elif driver is not None and not runs_with(driver, runtime):
        where = f" (of AMI {combination.ami})" if combination.driver is None else ""
        message = (
            f"driver {driver}{where} needs runtime {rule['runtime']} or later, the image has {runtime}: {rule['why']}"
        )
        yield Problem("error", "driver × runtime", message, _source(rule))


def _python(combination: Combination) -> Iterator[Problem]:
    row = release(combination.sdk) if combination.sdk else None
    if row and combination.python and combination.python not in row["python"]:
        message = f"SDK {combination.sdk} has wheels for Python {', '.join(row['python'])}, not {combination.python}"
        yield Problem("error", "sdk × python", message, _source(row))
    ray = data()["ray"]
    if combination.python and combination.python not in ray["python"]:
        message = f"Ray {ray['version']} runs on Python {', '.join(ray['python'])}, not {combination.python}"
        yield Problem("error", "ray × python", message, _source(ray))
    if combination.head_python and combination.python and combination.head_python != combination.python:
        message = (
            f"head on Python {combination.head_python}, workers on {combination.python}: Ray refuses a mixed cluster"
        )
        yield Problem("error", "head × workers", message, _source(ray))


def _ray(combination: Combination) -> Iterator[Problem]:
    ray, kuberay = data()["ray"], data()["kuberay"]
    if combination.head_ray and combination.ray and combination.head_ray != combination.ray:
        message = f"head with Ray {combination.head_ray}, workers with {combination.ray}: Ray refuses a mixed cluster"
        yield Problem("error", "head × workers", message, _source(ray))
    if combination.ray and combination.ray != ray["version"]:
        message = f"Ray {combination.ray} was never run with this code, {ray['version']} was"
        yield Problem("warning", "ray", message, _source(ray))
    if combination.kuberay and combination.kuberay != kuberay["pinned"]:
        other = version(combination.kuberay)[:2] != version(kuberay["pinned"])[:2]
        message = f"KubeRay {combination.kuberay} was never run with these manifests, {kuberay['pinned']} was"
        yield Problem("error" if other else "warning", "kuberay", message, _source(kuberay))


def _built(ami: str) -> date | None:
    found = _AMI.search(ami)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:  # digits that are no date
        return None


def _source(row: Mapping[str, Any]) -> str:
    return str(data()["sources"][row["source"]])
