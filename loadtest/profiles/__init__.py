"""The profiles that come with the package (the YAML files beside this one), and how a profile is found."""

from __future__ import annotations

from pathlib import Path

from loadtest.errors import UsageError

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Names of the shipped profiles."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def find(name_or_path: str) -> Path:
    """The file of a shipped profile's name, or of a path. Raises UsageError that lists what there is."""
    shipped = FOLDER / f"{name_or_path}.yaml"
    if shipped.is_file():
        return shipped
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise UsageError(f"no profile {name_or_path}: give a YAML file or one of {', '.join(names())}")
