"""Artifacts on disk, and an S3 server over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serving.artifacts import manifest
from serving.artifacts.manifest import GRAPHS, NAME
from tests.support.s3_server import BUCKET, Wire, s3_server

LARGE_BYTES = 3_000_000


@pytest.fixture(scope="session")
def _server() -> Iterator[Wire]:
    with s3_server() as wire:
        yield wire


@pytest.fixture
def wire(_server: Wire, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """The wire to the server, with credentials in the environment, as a pod has them."""
    for name, value in {
        "AWS_ENDPOINT_URL": _server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    _server.requests.clear()
    _server.cut_after_bytes.clear()
    return _server


@pytest.fixture(params=["folder", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    request.getfixturevalue("wire")
    return bucket_url(request.node.name)


def bucket_url(name: str) -> str:
    """A prefix of its own for each test."""
    return f"s3://{BUCKET}/" + "".join(c if c.isalnum() else "-" for c in name)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Artifacts of three files, one of them large."""
    folder = tmp_path / "made"
    rng = np.random.default_rng(0)
    for name, size in (("a.neff", 1000), ("b.neff", 2000), ("large.neff", LARGE_BYTES)):
        path = folder / GRAPHS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.bytes(size))
    (folder / NAME).write_bytes(manifest.describe(folder, {"slots": "8"}).encode())
    return folder
