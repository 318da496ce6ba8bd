from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cluster.rehearsal.catalogue import Catalogue


class Moto:
    """Answers with what it was asked, and counts."""

    def __init__(self, status: str = "200 OK") -> None:
        self.status = status
        self.asked = 0

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.asked += 1
        start_response(self.status, [])
        return [environ["wsgi.input"].read()]


def ask(application: Any, /, **question: str) -> tuple[str, bytes]:
    content = urlencode(question).encode()
    statuses: list[str] = []
    environ = {"CONTENT_LENGTH": str(len(content)), "wsgi.input": io.BytesIO(content)}
    answer = b"".join(application(environ, lambda status, *_: statuses.append(status)))
    return statuses[0], answer


def test_a_question_about_the_catalogue_is_asked_once_in_all_labs(tmp_path: Path) -> None:
    moto = Moto()
    first = ask(Catalogue(moto, tmp_path), Action="DescribeInstanceTypes", MaxResults="100")
    second = ask(Catalogue(moto, tmp_path), Action="DescribeInstanceTypes", MaxResults="100")
    assert first == second == ("200 OK", b"Action=DescribeInstanceTypes&MaxResults=100")
    assert moto.asked == 1
    ask(Catalogue(moto, tmp_path), Action="DescribeInstanceTypes", MaxResults="10")
    assert moto.asked == 2


def test_neither_the_time_nor_the_order_of_values_makes_it_another_question(tmp_path: Path) -> None:
    moto = Moto()
    catalogue = Catalogue(moto, tmp_path)
    ask(catalogue, Action="DescribeSpotPriceHistory", StartTime="2026-11-24T12:00:00Z")
    ask(catalogue, Action="DescribeSpotPriceHistory", StartTime="2026-11-24T13:00:00Z")
    assert moto.asked == 1
    first, second = (
        {"Filter.1.Value.1": "a", "Filter.1.Value.2": "b"},
        {"Filter.1.Value.1": "b", "Filter.1.Value.2": "a"},
    )
    ask(catalogue, Action="DescribeImages", **first)
    ask(catalogue, Action="DescribeImages", **second)
    assert moto.asked == 2
    ask(catalogue, Action="DescribeImages", **{"Filter.1.Value.1": "a", "Filter.2.Value.1": "b"})
    assert moto.asked == 3


def test_what_may_change_is_asked_every_time(tmp_path: Path) -> None:
    moto = Moto()
    catalogue = Catalogue(moto, tmp_path)
    for _ in range(2):
        assert ask(catalogue, Action="DescribeSubnets") == ("200 OK", b"Action=DescribeSubnets")
    assert moto.asked == 2


def test_a_refusal_is_passed_on_and_not_kept(tmp_path: Path) -> None:
    moto = Moto("503 Slow Down")
    catalogue = Catalogue(moto, tmp_path)
    for _ in range(2):
        assert ask(catalogue, Action="DescribeImages")[0] == "503 Slow Down"
    assert moto.asked == 2


def test_answers_of_another_moto_are_removed(tmp_path: Path) -> None:
    older = tmp_path / "ec2-answers-4.0.0"
    older.mkdir()
    Catalogue(Moto(), tmp_path)
    assert not older.exists()
