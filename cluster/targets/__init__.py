"""Where the chatbot can stand: three verbs, the same for this machine, the rehearsal and EKS."""

from __future__ import annotations

from typing import Protocol


class Target(Protocol):
    """A place that the chatbot runs in."""

    name: str

    def up(self) -> None:
        """Stand it up, and return when a real chat request was answered. Idempotent.

        Raises Refused before anything is touched, NotReady with the reason when it does not get there in time.
        """

    def endpoint(self) -> str:
        """The base URL of the HTTP face, without `/v1`. Raises NotReady where nothing stands."""

    def down(self) -> None:
        """Remove exactly what `up` made. Idempotent, and resumes where it was interrupted."""
