"""Under Ray Serve, too, nothing answers off loopback without API keys, unless the network is said to be trusted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.e2e.local_deployment import LIMIT_S, PACED, PROJECT, LocalDeployment

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# `cluster deploy local` with another address in its Serve config. The kernel takes 127.1 for 127.0.0.1, so that this test
# opens nothing to the network; the chatbot cannot know that.
DEPLOY = """
import json, sys
from cluster.errors import NotReady
from cluster.settings import from_environment
from cluster.targets import Options
from cluster.targets.local.serve_config import load_serve_config, merge
from cluster.targets.local.target import LocalTarget

port, said = int(sys.argv[1]), json.loads(sys.argv[2])
settings = from_environment()
config = merge(load_serve_config(Options(port, said), settings.environment), {"http_options": {"host": "127.1"}})
try:
    LocalTarget(settings, print, config).up()
except NotReady as error:
    sys.exit(str(error))
"""


def deploy(folder: LocalDeployment, **api: object) -> subprocess.CompletedProcess[str]:
    said = {"runner": {"kind": "simulated", "profile": str(PACED)}, "api": {"page": False, **api}}
    return subprocess.run(
        [sys.executable, "-c", DEPLOY, str(folder.port), json.dumps(said)],
        cwd=PROJECT,
        env=folder.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_without_keys_no_replica_starts(own_folder: LocalDeployment) -> None:
    refused = deploy(own_folder)
    assert refused.returncode == 1
    assert "Listening on 127.1 without API keys would answer anyone: set api.api_keys_file" in refused.stderr


def test_in_a_network_that_is_said_to_be_trusted_it_answers(own_folder: LocalDeployment) -> None:
    deployed = deploy(own_folder, trusted_network=True)
    assert deployed.returncode == 0, deployed.stderr
    assert own_folder.status()["healthy"]
