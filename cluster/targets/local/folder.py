"""Where the local target keeps its things: one folder in the cache, and a short way into it for Unix sockets."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import Refused

KEPT_RUNS = 5


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """Paths of one local deployment."""

    root: Path

    @property
    def token(self) -> Path:
        """Who has it may talk to our Ray."""
        return self.root / "token"

    @property
    def state(self) -> Path:
        """What runs, as it was started."""
        return self.root / "state.json"

    @property
    def logs(self) -> Path:
        """One folder a run; stays when everything else goes."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What Ray and HAProxy write."""
        return self.root / "run"

    @property
    def link(self) -> Path:
        """A short way to `run`.

        A Unix socket's address has 107 bytes. HAProxy puts a 56-digit node id below what it is told, Ray a session with
        date, time and pid: from the cache folder of most people that is too long.
        """
        return Path("/tmp") / f"chatbot-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]}"  # noqa: S108 - checked

    @property
    def ray(self) -> Path:
        """Ray's temp folder."""
        return self.link / "ray"

    @property
    def haproxy(self) -> Path:
        """HAProxy's config, sockets and state."""
        return self.link / "ha"

    def create(self) -> None:
        """Make the folders, the link and a fresh token. Raises Refused when the link's place is taken."""
        for folder in (self.root, self.logs, self.run, self.run / "ray", self.run / "ha"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._linked():
            try:
                self.link.symlink_to(self.run, target_is_directory=True)
            except FileExistsError as error:
                raise Refused(
                    f"{self.link} is not ours: remove it, or set XDG_CACHE_HOME to another folder."
                ) from error
        self.token.unlink(missing_ok=True)
        with os.fdopen(os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))

    def keep_logs(self, run: str) -> None:
        """Copy Ray's logs to `logs/run`, beside what is there, and drop the oldest runs."""
        session = self.run / "ray" / "session_latest" / "logs"
        if session.is_dir():
            shutil.copytree(session, self.logs / run / "ray", dirs_exist_ok=True, ignore=_no_files)
        for old in sorted(self.logs.glob("*"))[:-KEPT_RUNS]:
            shutil.rmtree(old)

    def remove(self) -> None:
        """Everything but the logs. Idempotent."""
        if self._linked():
            self.link.unlink()
        if self.run.exists():
            shutil.rmtree(self.run)
        for file in (self.token, self.state, self.state.with_suffix(".new")):
            file.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who changes this deployment. Raises Refused while another command does."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Refused("Another deploy or destroy is at work on this machine: wait for its end.") from error
            yield
        finally:
            os.close(descriptor)

    def _linked(self) -> bool:
        """The link is there, and ours."""
        return (
            self.link.is_symlink()
            and self.link.lstat().st_uid == os.getuid()
            and os.readlink(self.link) == str(self.run)
        )


def _no_files(folder: str, entries: list[str]) -> set[str]:
    """What cannot be copied: sockets, and links that lead nowhere."""
    return {name for name in entries if not (Path(folder) / name).is_dir() and not (Path(folder) / name).is_file()}
