from __future__ import annotations

import contextlib
import datetime
import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.rehearsal.certificates import Authority, Pair
from cluster.rehearsal.kubelet.machine.logs import Logs
from cluster.rehearsal.kubelet.server import Server

NOW = datetime.datetime.now(datetime.timezone.utc)


class Pods:
    """One pod `ns/p`, whose container does not run any more."""

    def uid(self, namespace: str, name: str) -> str | None:
        return f"uid-of-{name}" if (namespace, name) == ("ns", "p") else None

    def runs(self, uid: str, container: str) -> bool:
        return False

    def is_well(self) -> bool:
        return True


class Client:
    """Asks one server, with or without a certificate."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self._port, self._trust = port, trust

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._trust, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


class Place:
    """A server on loopback and how to reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(now=NOW)
        certificate, key = self._write("server", self.authority.server("k", addresses=["127.0.0.1"], hosts=[]))
        self.logs = Logs(folder / "logs")
        authority = self.authority.certificate.decode()
        self.server = Server(("127.0.0.1", 0), certificate, key, authority, Pods(), self.logs)

    def client(self, signed_by: Authority | None) -> Client:
        trust = ssl.create_default_context(cadata=self.authority.certificate.decode())
        if signed_by is not None:
            trust.load_cert_chain(*self._write("client", signed_by.client("api-server")))
        return Client(self.server.port, trust)

    def _write(self, name: str, pair: Pair) -> tuple[Path, Path]:
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        return certificate, key


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("kubelet"))
    made.server.start()
    yield made
    made.server.stop()


def test_health_is_told_to_everybody(place: Place) -> None:
    assert place.client(None).get("/healthz") == (200, "ok")


def test_logs_are_for_clients_of_the_clusters_authority(place: Place) -> None:
    place.logs.new("uid-of-p", "said", 1).write_text("one\ntwo\n")
    path = "/containerLogs/ns/p/said"
    assert place.client(None).get(path)[0] == 401
    assert place.client(place.authority).get(path) == (200, "one\ntwo\n")
    with pytest.raises((ssl.SSLError, OSError)):
        place.client(Authority(now=NOW)).get(path)


def test_logs_can_be_cut_and_asked_for_from_the_run_before(place: Place) -> None:
    for instance, said in ((1, "old\n"), (2, "one\ntwo\n")):
        place.logs.new("uid-of-p", "twice", instance).write_text(said)
    client = place.client(place.authority)
    assert client.get("/containerLogs/ns/p/twice?tailLines=1") == (200, "two\n")
    assert client.get("/containerLogs/ns/p/twice?limitBytes=2") == (200, "on")
    assert client.get("/containerLogs/ns/p/twice?previous=true") == (200, "old\n")
    assert client.get("/containerLogs/ns/p/twice?follow=true") == (200, "one\ntwo\n")


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/containerLogs/ns/other/c", 404, 'pod "other" not found'),
        ("/containerLogs/ns/p/c", 400, 'container "c" in pod "p" has no log'),
        ("/containerLogs/ns/p/c?previous=true", 400, "previous terminated container"),
        ("/containerLogs/ns/p", 404, "Ask for /containerLogs/NAMESPACE/POD/CONTAINER."),
        ("/containerLogs/ns/p/c?tailLines=x", 400, "tailLines must be a number."),
        ("/containerLogs/ns/p/c?timestamps=true", 501, "keeps no times with its logs: leave timestamps out."),
        ("/exec/ns/p/c?command=sh", 501, "process kubelet has no exec"),
        ("/portForward/ns/p", 501, "process kubelet has no portForward"),
        ("/stats/summary", 404, "does not serve /stats."),
    ],
)
def test_what_is_not_served_is_refused_by_one_sentence(place: Place, path: str, status: int, sentence: str) -> None:
    answered, said = place.client(place.authority).get(path)
    assert answered == status
    assert sentence in said
    assert said.count("\n") == 1


def test_posts_are_answered_in_the_same_words(place: Place) -> None:
    assert place.client(place.authority).get("/exec/ns/p/c", "POST")[0] == 501
