from __future__ import annotations

from typing import Any

import pytest

from cluster.serve_status import why_not_deployed

TRACEBACK = (
    "failed to start 3 times in a row. Error:\nRuntimeError: Traceback\n  File x\nSetupError: The chat page lacks it.\n"
)


@pytest.mark.parametrize(
    ("application", "why"),
    [
        (
            {
                "message": "Failed to update the deployments ['Chat'].",
                "serveDeploymentStatuses": {"Chat": {"status": "DEPLOY_FAILED", "message": TRACEBACK}},
            },
            "SetupError: The chat page lacks it",
        ),
        ({"message": "Traceback\nValueError: profile x is unknown"}, "ValueError: profile x is unknown"),
        (
            {"message": "It failed.", "serveDeploymentStatuses": {"Chat": {"status": "HEALTHY", "message": "fine"}}},
            "It failed",
        ),
        (
            {
                "message": "1 error\n  Value error, max < min\n    For further information visit https://errors.pydantic.dev/2"
            },
            "Value error, max < min",
        ),
        ({}, "no message"),
    ],
)
def test_the_cause_is_the_last_line_of_whoever_failed(application: dict[str, Any], why: str) -> None:
    assert why_not_deployed(application) == why
