"""Where artifacts lie: a folder or `s3://bucket/prefix`, behind one surface of a kept library (obstore).

Credentials, region and endpoint of S3 come from where AWS' own tools take them: the environment, a pod's identity
token, the instance. docs/decisions/artifacts-store.md says why obstore.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from serving.artifacts.manifest import NAME, Entry, Manifest
from serving.errors import SetupError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PART_BYTES = 16 << 20  # what one request moves: a cut connection costs no more than that
_RETRIES = 6
_LONGEST_RETRY = timedelta(minutes=3)
_REQUEST = timedelta(seconds=60)


class Store:
    """One set of artifacts, elsewhere."""

    def __init__(self, url: str, *, to_read: bool = False) -> None:
        """A folder is made where there is none, unless it is `to_read`.

        Raises SetupError when the library is absent or the address is not one of a folder or of S3.
        """
        self.url = url.rstrip("/")
        self._store = _open(self.url, to_read=to_read)

    def manifest(self) -> Manifest | None:
        """What lies there; None when nothing does, or not all of it yet."""
        content = self._get(NAME)
        return None if content is None else Manifest.decode(content, where=self.url)

    def size(self, path: str) -> int | None:
        """Of one file, in bytes; None when it is not there."""
        import obstore

        try:
            return int(obstore.head(self._store, path)["size"])
        except FileNotFoundError:
            return None
        except obstore.exceptions.BaseError as error:
            raise self._failed("read", path, error) from error

    def parts(self, entry: Entry, *, start: int) -> Iterator[memoryview]:
        """The bytes of a file from `start` on, a request for each part. Raises SetupError when one fails for good."""
        import obstore

        try:
            for at in range(start, entry.bytes, PART_BYTES):
                yield memoryview(
                    obstore.get_range(self._store, entry.path, start=at, end=min(at + PART_BYTES, entry.bytes))
                )
        except FileNotFoundError as error:
            raise SetupError(f"{self.url} lacks {entry.path}, which its manifest lists: push it again.") from error
        except obstore.exceptions.BaseError as error:
            raise self._failed("read", entry.path, error) from error

    def put(self, path: str, content: Path | bytes) -> None:
        """Write one file, in parts when it is large; it appears when it is whole."""
        import obstore

        try:
            obstore.put(self._store, path, content, chunk_size=PART_BYTES, max_concurrency=4)
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._failed("write", path, error) from error

    def delete(self, path: str) -> None:
        """Remove one file; nothing where it is not there."""
        import obstore

        if self.size(path) is None:  # a bucket that may be written but not deleted from serves for a first push
            return
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:  # another push was faster
            return
        except obstore.exceptions.BaseError as error:
            raise self._failed("delete", path, error) from error

    def _get(self, path: str) -> bytes | None:
        import obstore

        try:
            return bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            return None
        except obstore.exceptions.BaseError as error:
            raise self._failed("read", path, error) from error

    def _failed(self, verb: str, path: str, error: Exception) -> SetupError:
        reason = str(error).split("\n")[0][:300]
        return SetupError(f"{self.url}: cannot {verb} {path} ({reason}): check address, credentials and network.")


def _open(url: str, *, to_read: bool) -> ObjectStore:
    try:
        from obstore.store import LocalStore, S3Store
    except ImportError as error:
        raise SetupError(f"Artifacts are moved by obstore ({error}): pip install obstore.") from error
    scheme, separator, _ = url.partition("://")
    if not separator:
        path = Path(url).expanduser().resolve()
        if to_read and not path.is_dir():
            raise SetupError(f"{url} is no folder: artifacts are read from a folder or from s3://bucket/prefix.")
        folder: ObjectStore = LocalStore(path, mkdir=True)
        return folder
    if scheme != "s3":
        raise SetupError(f"{url}: artifacts lie in a folder or under s3://bucket/prefix.")
    bucket: ObjectStore = S3Store.from_url(
        url,
        # Plain HTTP only where the endpoint in the environment says so: AWS' own are https.
        client_options={"timeout": _REQUEST, "connect_timeout": timedelta(seconds=10), "allow_http": True},
        retry_config={"max_retries": _RETRIES, "retry_timeout": _LONGEST_RETRY},
    )
    return bucket
