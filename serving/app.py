"""The composition root under Ray Serve: what `import_path: serving.app:build_app` in a Serve config names.

The config's `args` are this package's settings. What Serve has to know of such a deployment follows from them here; the
same numbers stand in manifests/serve/serve.yaml, which may say them otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.serve import Application

from serving.replica import Chat
from serving.settings import Settings, load

# Requests that are let in beyond what the app accepts: to be refused by it, or to fetch the page or /health.
PASSING = 100
# RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S and Serve's margin on top: a leaving replica stays reachable for so long.
DEREGISTRATION_S = 35.0


def build_app(args: Mapping[str, Any]) -> Application:
    """One application with one deployment. Raises SetupError for wrong settings."""
    settings = load(args)
    deployment = serve.deployment(serve.ingress()(Chat), name="Chat")
    return deployment.options(**deployment_options(settings)).bind(settings)


def deployment_options(settings: Settings) -> dict[str, Any]:
    """Serve's options of the deployment, where the Serve config does not say them."""
    return {
        # Refusals are the app's own, and waiting requests must be seen by autoscaling: so all of them get in.
        "max_ongoing_requests": settings.capacity + PASSING,
        # Serve's own refusal is plain text; it guards memory and is not meant to be met.
        "max_queued_requests": settings.capacity + PASSING,
        "backpressure_config": {"status_code": 503, "retry_after_s": 5},
        "autoscaling_config": {"target_ongoing_requests": target_ongoing_requests(settings)},
        "graceful_shutdown_timeout_s": settings.engine.longest_answer_s + DEREGISTRATION_S,
        "health_check_period_s": 5,
        "health_check_timeout_s": 30,
    }


def target_ongoing_requests(settings: Settings) -> float:
    """Requests per replica that autoscaling aims at: the next replica should be there before a queue is."""
    return 0.75 * settings.runner.slots
