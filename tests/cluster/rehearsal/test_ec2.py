from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from cluster.rehearsal import ec2
from cluster.rehearsal.ec2 import READY_PATH, Front, image_of, price_list

IMAGES = {("x86_64", "standard"): "ami-1", ("x86_64", "neuron"): "ami-2"}
PARAMETER = "/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/x86_64/{}/{}/image_id"
RELEASE = "amazon-eks-node-al2023-x86_64-{}-1.36-{}"


@pytest.mark.parametrize(
    ("variant", "which", "image"),
    [
        ("neuron", RELEASE.format("neuron", "v20260618"), "ami-2"),
        ("standard", "recommended", "ami-1"),
        ("neuron", RELEASE.format("neuron", "v20260631"), None),  # no day of June
        ("neuron", RELEASE.format("standard", "v20260618"), None),
        ("gpu", "recommended", None),
    ],
)
def test_only_an_ami_release_that_exists_has_a_parameter(variant: str, which: str, image: str | None) -> None:
    assert image_of(PARAMETER.format(variant, which), IMAGES) == image


def test_the_price_list_holds_the_prices_that_cost_is_counted_with() -> None:
    documents = [json.loads(text) for text in price_list([{"Field": "productFamily", "Value": "Compute Instance"}])]
    prices = {document["product"]["attributes"]["instanceType"]: document["terms"] for document in documents}
    assert prices["trn1.2xlarge"]["OnDemand"]["term"]["priceDimensions"]["hour"]["pricePerUnit"] == {"USD": "1.34375"}
    assert len(price_list([{"Field": "productFamily", "Value": "Compute Instance (bare metal)"}])) == 1


def ask(front: Front, path: str, target: str = "", body: Any = None) -> tuple[str, bytes]:
    content = json.dumps(body).encode()
    environ = {"PATH_INFO": path, "CONTENT_LENGTH": str(len(content)), "wsgi.input": io.BytesIO(content)}
    if target:
        environ["HTTP_X_AMZ_TARGET"] = target
    seen: list[str] = []
    answer = b"".join(front(environ, lambda status, *_: seen.append(status)))  # type: ignore[arg-type]
    return seen[0] if seen else "", answer


def behind(_environ: Any, _start: Any) -> Iterable[bytes]:
    return [b"moto"]


def test_it_is_ready_when_it_is_seeded() -> None:
    images: dict[tuple[str, str], str] = {}
    front = Front(behind, images)
    assert ask(front, READY_PATH)[0] == "503 Service Unavailable"
    images.update(IMAGES)
    assert ask(front, READY_PATH)[0] == "200 OK"


def test_an_unknown_parameter_is_refused_as_aws_does_and_everything_else_is_motos() -> None:
    front = Front(behind, IMAGES)
    unknown = {"Name": PARAMETER.format("neuron", RELEASE.format("neuron", "v1"))}
    status, answer = ask(front, "/", "AmazonSSM.GetParameter", unknown)
    assert (status, json.loads(answer)["__type"]) == ("400 Bad Request", "ParameterNotFound")
    known = {"Name": PARAMETER.format("neuron", "recommended")}
    assert json.loads(ask(front, "/", "AmazonSSM.GetParameter", known)[1])["Parameter"]["Value"] == "ami-2"
    assert ask(front, "/", "AmazonSSM.DescribeParameters")[1] == b"moto"


def test_an_account_that_cannot_be_seeded_ends_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    over = threading.Event()

    class Server:
        def serve_forever(self) -> None:
            over.wait()

    def fail(_url: str, _zones: list[str]) -> None:
        raise ValueError("no VPC can be made")

    monkeypatch.setattr(ec2, "make_server", lambda *_, **__: Server())
    monkeypatch.setattr(ec2, "seed", fail)
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="no VPC can be made"):
        ec2.serve("127.0.0.1", 1, [], tmp_path)
    kept_alive_by = [thread for thread in set(threading.enumerate()) - before if not thread.daemon]
    over.set()
    assert kept_alive_by == []
