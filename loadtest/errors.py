"""Every error that a command of this package prints, and the exit code it ends with.

LoadtestError
├── UsageError     64: a flag or a profile is wrong; the sentence says which and where
├── TargetAbsent   3: nothing answers at the target's address, so there is nothing to measure
└── NotStarted     3: Locust did not start the load, so nothing was measured
"""

from __future__ import annotations


class LoadtestError(Exception):
    """Base of all; `str(error)` is one sentence that says what to do."""

    exit_code = 64


class UsageError(LoadtestError):
    """A flag, a profile or a report file is wrong."""

    exit_code = 64


class TargetAbsent(LoadtestError):
    """The target does not answer: the run is void."""

    exit_code = 3


class NotStarted(LoadtestError):
    """Locust did not start the load: the run is void."""

    exit_code = 3
