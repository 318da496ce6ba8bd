"""API keys: a file of `name:sha256-hex` lines, read again whenever it changes."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
from pathlib import Path

from serving.errors import SetupError

_LINE = re.compile(r"(?P<name>[^:\s]+):(?P<digest>[0-9a-fA-F]{64})")
_log = logging.getLogger(__name__)


class KeyFile:
    """The keys that are good now. Only their hashes are ever in the file or in memory."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises SetupError when it is missing, holds no key, or a line is not `name:sha256-hex`."""
        self._path = path
        self._version: object = None
        self._keys: list[tuple[str, bytes]] = []
        self._read()
        if not self._keys:
            raise SetupError(f"{path} holds no key: write one `name:sha256-hex` a line.")

    def owner(self, key: str) -> str | None:
        """The name that `key` belongs to, or None. Takes as long for a wrong key as for a right one."""
        self._reload()
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        owners = [name for name, known in self._keys if hmac.compare_digest(known, digest)]
        return owners[0] if owners else None

    def _reload(self) -> None:
        """Follow the file, down to no key at all; while it is missing or wrong the keys that were good stay good."""
        if self._stamp() == self._version:
            return
        try:
            self._read()
        except SetupError as error:
            _log.error("API keys not reloaded, the ones before stay good: %s", error)
        else:
            _log.info("API keys reloaded", extra={"keys": len(self._keys)})

    def _read(self) -> None:
        self._version = self._stamp()  # also of a wrong or missing file: it is complained about once
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"The API key file {self._path} cannot be read: {error}.") from error
        self._keys = self._parse(lines)

    def _parse(self, lines: list[str]) -> list[tuple[str, bytes]]:
        """A name may stand in several lines: while a key is replaced, the old and the new one are good."""
        keys: list[tuple[str, bytes]] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise SetupError(f"{self._path}, line {number}: write `name:sha256-hex`, the hash of the key.")
            keys.append((match["name"], bytes.fromhex(match["digest"])))
        return keys

    def _stamp(self) -> object:
        """What changes with the file, its permissions too; None while it cannot be found."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def require_keys(host: str, *, api_keys_file: Path | None, trusted_network: bool) -> None:
    """Raises SetupError when `host` can be reached from other machines and nothing says who may ask."""
    if api_keys_file is None and not trusted_network and not _is_loopback(host):
        raise SetupError(
            f"Listening on {host} without API keys would answer anyone: set api.api_keys_file, or listen on 127.0.0.1, "
            "or set api.trusted_network where the network itself lets in only those who may ask."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: it may lead anywhere
