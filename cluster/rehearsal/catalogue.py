"""EC2's catalogue, answered from files: which instance types, offerings, spot prices and images there are never changes.

moto takes some fifteen seconds of CPU to spell out what Karpenter asks of it at every start. The questions are always the
same, so each answer is kept as moto gave it, by moto's version and the question.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ACTIONS = frozenset(
    {"DescribeInstanceTypes", "DescribeInstanceTypeOfferings", "DescribeSpotPriceHistory", "DescribeImages"}
)
_OK = "200 OK"


class Catalogue:
    """A WSGI application before moto: a known question of ACTIONS is answered from its file, others by moto."""

    def __init__(self, behind: WSGIApplication, cache: Path) -> None:
        """`cache` is the rehearsal's folder of the cache; answers of another moto in it are removed."""
        self._behind = behind
        self._folder = cache / f"ec2-answers-{metadata.version('moto')}"
        for older in cache.glob("ec2-answers-*"):
            if older != self._folder:
                shutil.rmtree(older)
        self._folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        question = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(question)
        key = _key(question)
        if key is None:
            return self._behind(environ, start_response)
        file = self._folder / f"{key}.xml"
        if not file.is_file():
            status, answer = self._asked(environ)
            if status != _OK:
                start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(answer)))])
                return [answer]
            _write_whole(file, answer)
        answer = file.read_bytes()
        start_response(_OK, [("Content-Type", "text/xml"), ("Content-Length", str(len(answer)))])
        return [answer]

    def _asked(self, environ: WSGIEnvironment) -> tuple[str, bytes]:
        statuses: list[str] = []

        def started(status: str, *_: Any) -> Any:
            statuses.append(status)

        answer = b"".join(self._behind(environ, started))
        return statuses[0], answer


def _key(question: bytes) -> str | None:
    """The same for questions with the same answer; None for one that is not about the catalogue.

    The provider asks for prices since now, which are those of any time, and lists values in whatever order.
    """
    asked = parse_qsl(question.decode("utf-8", "replace"))
    if not any(name == "Action" and value in ACTIONS for name, value in asked):
        return None
    told = sorted((re.sub(r"\.\d+$", "", name), value) for name, value in asked if name != "StartTime")
    return hashlib.sha256(repr(told).encode()).hexdigest()[:24]


def _write_whole(file: Path, content: bytes) -> None:
    """All of it or nothing, whoever else writes the same."""
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as unfinished:
        unfinished.write(content)
    os.replace(unfinished.name, file)
