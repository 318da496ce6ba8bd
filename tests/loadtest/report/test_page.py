"""The page: self-contained, complete, and alive in a real browser."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest.record import Outcome
from loadtest.report import document as documents
from loadtest.report import page, plots
from loadtest.run_result import Run
from tests.support import runs
from tests.support.load_profiles import failure

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def build(run: Run, *, verify: bool = False) -> dict[str, Any]:
    return documents.build(run, verify=verify, target=runs.TARGET, versions=runs.VERSIONS)


VARIANTS = {
    "good": runs.run(),
    "verified": runs.verified(),
    "verified on a cluster": runs.clustered(),
    "a deployment": runs.deployed(),
    "broken": runs.verified(until="replica-started"),
    "void": runs.run(interrupted_s=3.0),
    "nothing ended well": runs.run(tuple(failure(Outcome.TIMEOUT, i) for i in range(3))),
    "nothing sent": replace(runs.run(), records=(), pulses=()),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_run_has_a_page_that_needs_no_other_host(name: str) -> None:
    text = page.render(build(VARIANTS[name], verify="verified" in name or name in ("broken", "a deployment")))
    assert not re.findall(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", text)
    assert "None" not in text
    assert "nan" not in text.lower().replace("finance", "")
    assert text.count("<svg") == text.count("</svg>") >= (2 if name == "a deployment" else 4)


def test_what_came_from_outside_is_escaped() -> None:
    hostile = failure(Outcome.STREAM_ERROR, error="</script><script>alert(1)</script>", replica="<b>")
    text = page.render(build(runs.run((hostile,))))
    assert "<script>alert(1)" not in text


def test_stages_stand_on_the_time_axis_and_violations_are_shaded() -> None:
    text = page.render(build(runs.verified(until="replica-started"), verify=True))
    assert ">target raised<" in text
    assert 'class="violating"' in text
    assert "Broken link: replica-started" in text


def test_labels_that_would_touch_get_lanes_of_their_own() -> None:
    frame = plots.Frame(100, 1, 100)
    _, close = plots.flags(frame, [(1.0, "one thing"), (2.0, "another thing"), (3.0, "a third")])
    _, apart = plots.flags(frame, [(1.0, "one thing"), (50.0, "another thing"), (99.0, "a third")])
    assert (close, apart) == (3, 1)


@pytest.mark.parametrize(("most", "last"), [(0, 1), (0.03, 0.03), (7, 8), (10, 10), (11, 15), (999, 1000)])
def test_ticks_are_round_and_reach_the_data(most: float, last: float) -> None:
    found = plots.ticks(most, 4)
    assert found[-1] == pytest.approx(last)
    assert 2 <= len(found) <= 6


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_browser_shows_it_without_a_complaint(tmp_path: Path, scheme: Any) -> None:
    from playwright.sync_api import expect, sync_playwright

    path = tmp_path / "report.html"
    path.write_text(page.render(build(runs.verified(), verify=True)), "utf-8")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(color_scheme=scheme, viewport={"width": 1100, "height": 900})
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(path.as_uri())
        box = shown.locator(".panel svg").first.bounding_box()
        assert box is not None
        shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(shown.locator('output[data-series="samples.replicas_running"]')).to_have_text("2")
        assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
    assert complaints == []
