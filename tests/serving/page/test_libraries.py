from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from serving.errors import SetupError
from serving.page import libraries

# Stands for npm: makes what the lock names, and counts how often it was asked.
FAKE_NPM = """#!/bin/sh
echo "$@" >> asked
mkdir -p node_modules/marked/lib node_modules/dompurify/dist node_modules/axe-core
for file in marked/lib/marked.esm.js marked/LICENSE dompurify/dist/purify.es.mjs dompurify/LICENSE; do
    echo "$file" > "node_modules/$file"
done
"""
FAILING_NPM = """#!/bin/sh
echo "npm error code ECONNREFUSED" >&2
echo "npm error connect ECONNREFUSED 127.0.0.1:1" >&2
echo "npm error A complete log of this run can be found in: /somewhere" >&2
exit 1
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "page"
    page.mkdir()
    shutil.copy(libraries.PAGE / "package-lock.json", page)
    return page


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The npm on PATH: a script of the test, which may replace it."""
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(FAKE_NPM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def test_fetching_puts_what_the_page_needs_into_lib(page: Path, npm: Path) -> None:
    assert libraries.missing(page / "lib") == list(libraries.FILES)
    assert libraries.fetch(page)
    assert libraries.missing(page / "lib") == []
    assert (page / "lib" / "marked.js").read_text() == "marked/lib/marked.esm.js\n"


def test_npm_is_asked_once_and_again_only_when_something_changed(page: Path, npm: Path) -> None:
    assert libraries.fetch(page)
    assert not libraries.fetch(page)
    assert (page / "asked").read_text() == "ci\n"
    (page / "lib" / "marked.js").unlink()
    assert libraries.fetch(page)
    with (page / "package-lock.json").open("a") as lock:
        lock.write("\n")
    assert libraries.fetch(page)


def test_what_npm_said_is_part_of_the_one_sentence(page: Path, npm: Path) -> None:
    npm.write_text(FAILING_NPM)
    with pytest.raises(SetupError, match=r"\(connect ECONNREFUSED 127\.0\.0\.1:1\): check that its package registry"):
        libraries.fetch(page)


def test_a_file_that_a_package_lost_is_named(page: Path, npm: Path) -> None:
    npm.write_text(FAKE_NPM.replace("marked/lib/marked.esm.js ", ""))
    with pytest.raises(SetupError, match=r"npm brought no .*marked\.esm\.js"):
        libraries.fetch(page)


def test_without_any_npm_it_says_where_one_comes_from(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", {}.get)
    monkeypatch.setattr("importlib.util.find_spec", {}.get)
    with pytest.raises(SetupError, match="make page"):
        libraries.fetch(page)


def test_the_lock_fixes_exact_versions_with_checksums_and_names_no_registry() -> None:
    lock = json.loads((libraries.PAGE / "package-lock.json").read_text())
    wanted = json.loads((libraries.PAGE / "package.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all(
        package["integrity"].startswith("sha512-") and "resolved" not in package for package in packages.values()
    )
    for name, version in (wanted["dependencies"] | wanted["devDependencies"]).items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert libraries.versions() == wanted["dependencies"]
