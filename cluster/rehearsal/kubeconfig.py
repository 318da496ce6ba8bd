"""Kubeconfig files with everything in them: address, authority, certificate and key."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from cluster.rehearsal.certificates import Pair


def write(path: Path, *, server: str, authority: bytes, client: Pair, name: str = "rehearsal") -> Path:
    """Write one and return its path; only its owner may read it, for it holds a key."""
    cluster = {"server": server, "certificate-authority-data": _encoded(authority)}
    user = {"client-certificate-data": _encoded(client.certificate), "client-key-data": _encoded(client.key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
