"""Every error that a command of this package prints, and the exit code it ends with.

ClusterError
├── Refused       2: nothing was touched; the sentence says what has to change first
└── NotReady      1: it was started and did not become ready in time; the sentence says what it waits for
"""

from __future__ import annotations


class ClusterError(Exception):
    """Base of all; `str(error)` is one sentence that says what to do."""

    exit_code = 1


class Refused(ClusterError):
    """Nothing was touched."""

    exit_code = 2


class NotReady(ClusterError):
    """Started, and not ready in time."""

    exit_code = 1
