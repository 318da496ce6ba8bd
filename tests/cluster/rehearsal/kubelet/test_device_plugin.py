from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.rehearsal.certificates import Authority
from cluster.rehearsal.kubelet.device_plugin import INSTANCE_TYPE, Denied, NoAnswer, NodeApi, amounts, missing

TRN1 = {"aws.amazon.com/neuron": "1", "aws.amazon.com/neurondevice": "1", "aws.amazon.com/neuroncore": "2"}


def node(instance_type: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {INSTANCE_TYPE: instance_type}}, "status": status}


def test_a_node_gets_what_its_instance_type_has() -> None:
    assert amounts(node("trn1.2xlarge")) == TRN1
    assert amounts(node("inf2.24xlarge"))["aws.amazon.com/neuroncore"] == "12"


def test_a_node_without_neuron_devices_gets_nothing() -> None:
    assert amounts(node("m5.large")) == {}
    assert amounts(node("unknown.type")) == {}


def test_both_capacity_and_allocatable_have_to_say_it() -> None:
    assert missing(node("trn1.2xlarge"), TRN1)
    assert missing(node("trn1.2xlarge", capacity=TRN1), TRN1)
    assert not missing(node("trn1.2xlarge", capacity=TRN1, allocatable={**TRN1, "cpu": "8"}), TRN1)


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[int], NodeApi]]:
    """The API of an API server that answers everything with one status."""
    servers: list[HTTPServer] = []

    def answer(status: int) -> NodeApi:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"message": "so it is"}')

            def log_message(self, *_: object) -> None:
                return

        authority = Authority(now=datetime.datetime.now(datetime.timezone.utc))
        pair = authority.server("api", addresses=["127.0.0.1"], hosts=[])
        for name, content in (("ca.crt", authority.certificate), ("crt", pair.certificate), ("key", pair.key)):
            (tmp_path / name).write_bytes(content)
        (tmp_path / "token").write_text("t")
        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return NodeApi("127.0.0.1", server.server_port, "n", tmp_path)

    yield answer
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "failure"),
    [(429, NoAnswer), (500, NoAnswer), (503, NoAnswer), (401, Denied), (403, Denied), (404, Denied)],
)
def test_a_busy_api_server_is_asked_again_and_one_that_denies_is_not(
    answering: Callable[[int], NodeApi], status: int, failure: type[ClusterError]
) -> None:
    with pytest.raises(failure, match=f"GET /api/v1/nodes/n: {status} so it is"):
        answering(status).read()


def test_a_token_that_is_not_there_yet_is_waited_for(answering: Callable[[int], NodeApi], tmp_path: Path) -> None:
    api = answering(200)
    assert api.read() == {"message": "so it is"}
    (tmp_path / "token").unlink()
    with pytest.raises(NoAnswer, match="token"):
        api.read()
