"""What a container sees of this machine: which paths have to be bound on top of the overlay of `/`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from cluster.rehearsal.kubelet.config import Image

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FRESH = ("/tmp", "/run")  # noqa: S108 - empty in every container, as in an image
_MOUNT_POINT = 4  # field of /proc/self/mountinfo


def environment(image: Image) -> dict[str, str]:
    """The image's own, with its folders on PATH."""
    path = ":".join([*image.path, STANDARD_PATH])
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **image.environment}


def needed(image: Image) -> list[str]:
    """Every existing path that the image names, what its links lead to, and its interpreters' installations."""
    named = [*image.path, image.workdir, *image.command]
    named += [part for value in image.environment.values() for part in value.split(":")]
    found = dict.fromkeys(path for name in named if name.startswith("/") for path in _with_targets(Path(name)))
    return [str(path) for path in found if path != Path("/")]


def binds(paths: Iterable[str], mount_points: Sequence[str], hidden: Sequence[str]) -> list[str]:
    """Those of `paths` that the overlay does not show: on another mount than `/`, or below what is hidden."""
    concealed = [PurePath(point) for point in (*mount_points, *hidden) if point != "/"]
    chosen: list[str] = []
    for path in sorted(set(paths)):
        below = any(_is_below(path, PurePath(point)) for point in concealed)
        if below and not any(_is_below(path, PurePath(taken)) for taken in chosen):
            chosen.append(path)
    return chosen


def mount_points(mountinfo: str) -> list[str]:
    """Of /proc/self/mountinfo."""
    return [_unescaped(line.split()[_MOUNT_POINT]) for line in mountinfo.splitlines() if line]


def _with_targets(path: Path) -> Iterator[Path]:
    if not path.exists():
        return
    yield path
    yield path.resolve()
    interpreter = path / "python3"
    if interpreter.exists():
        yield interpreter.resolve().parent.parent


def _is_below(path: str, point: PurePath) -> bool:
    return PurePath(path) == point or point in PurePath(path).parents


def _unescaped(field: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(octal, character)
    return field
