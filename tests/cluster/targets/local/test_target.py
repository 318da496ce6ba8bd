"""What Serve says of a config reaches the user as a sentence."""

import httpx
import pytest

from cluster.errors import NotReady, Refused
from cluster.targets.local.dashboard import Dashboard
from cluster.targets.local.target import give


def test_serves_own_reason_is_told_when_it_refuses_a_config() -> None:
    said = httpx.Response(400, text="Traceback\n  ...\nValueError: max_ongoing_requests must be positive\n")
    dashboard = Dashboard("http://ray", "secret", transport=httpx.MockTransport(lambda _: said))
    with pytest.raises(Refused, match="does not take the config: ValueError: max_ongoing_requests must be positive"):
        give(dashboard, {})


def test_a_serve_that_does_not_answer_is_not_ready() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out", request=request)

    with pytest.raises(NotReady, match="did not take the config in time"):
        give(Dashboard("http://ray", "secret", transport=httpx.MockTransport(silent)), {})
