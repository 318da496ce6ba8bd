from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from serving.errors import SetupError
from serving.page.libraries import FILES
from serving.page.mount import CONTENT_SECURITY_POLICY, mount_page


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    for name in FILES:
        (tmp_path / name).write_text("export {};\n")
    app = Starlette()
    mount_page(app, lib=tmp_path)
    return TestClient(app, follow_redirects=False)


def test_the_page_and_its_libraries_are_served_with_the_policy(client: TestClient) -> None:
    for path in ("/ui/", "/ui/js/app.js", "/ui/css/theme.css", "/ui/lib/marked.js"):
        response = client.get(path)
        assert response.status_code == 200
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_policy_lets_nothing_through_but_what_is_named() -> None:
    directives = dict(d.split(" ", 1) for d in CONTENT_SECURITY_POLICY.split("; "))
    assert directives.pop("default-src") == "'none'"
    assert set(directives.values()) == {"'self'", "'none'", "'script'", "dompurify"}


def test_scripts_have_a_type_that_nosniff_accepts(client: TestClient) -> None:
    assert client.get("/ui/js/app.js").headers["Content-Type"].split(";")[0].endswith("/javascript")
    assert client.get("/ui/lib/dompurify.js").headers["Content-Type"].split(";")[0].endswith("/javascript")


def test_an_unchanged_file_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/ui/js/app.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/ui/js/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_redirects_to_the_page_hold_behind_any_prefix(path: str, client: TestClient) -> None:
    response = client.get(path)
    assert response.status_code == 307
    assert response.headers["Location"] == "ui/"


@pytest.mark.parametrize(
    "path", ["/ui/../mount.py", "/ui/%2e%2e/mount.py", "/ui/..%2fmount.py", "/ui/lib/%2e%2e/package.json"]
)
def test_nothing_beside_the_page_is_served(path: str, client: TestClient) -> None:
    assert client.get(path).status_code == 404


def test_without_its_libraries_the_page_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"lacks marked\.js.*make page.*python -m serving\.page"):
        mount_page(Starlette(), lib=tmp_path)
