"""On this machine: a Ray of our own on loopback, in a folder of our own, and the Serve config on it."""

from __future__ import annotations

from cluster.settings import Settings
from cluster.targets import Options, Tell
from cluster.targets.local.serve_config import load_serve_config
from cluster.targets.local.target import LocalTarget

__all__ = ["open_target"]


def open_target(settings: Settings, tell: Tell, options: Options) -> LocalTarget:
    """The local target. Raises Refused for a Serve config that cannot be read."""
    return LocalTarget(settings, tell, load_serve_config(options, settings.environment))
