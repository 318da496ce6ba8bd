"""Where the target is; the only reader of the environment in the package `loadtest`.

Precedence: a command's flags, then `CHATBOT_LOADTEST_<NAME>` in the environment, then what the local target wrote down
when it was deployed.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_URL = "http://127.0.0.1:8000"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
GIVE_A_KEY = "set CHATBOT_LOADTEST_API_KEY to a key that it knows"


class Settings(BaseSettings):
    """What may come from the environment."""

    model_config = SettingsConfigDict(env_prefix="CHATBOT_LOADTEST_", frozen=True, extra="ignore")

    base_url: str | None = Field(None, description="The chatbot's address, without /v1.")
    api_key: str | None = Field(
        None, description="Sent as a bearer token, to a chatbot that answers 401 without one (api.api_keys_file)."
    )
    dashboard_url: str | None = Field(None, description="Ray's dashboard, to watch replicas.")
    dashboard_token: str | None = Field(
        None,
        description="Ray's token itself, where its dashboard wants one; --dashboard-token-file names a file that holds it.",
    )
    kubeconfig: Path | None = Field(None, description="A cluster's, to watch pods and nodes as well as replicas.")
    cache_home: Path = Field(
        Path.home() / ".cache",
        validation_alias="XDG_CACHE_HOME",
        description="Under it, in our folder, a deployed target keeps its state.",
    )

    def state_file(self, target: str) -> Path:
        """Where the deployed target `target` writes down its addresses."""
        return self.cache_home / "trainium-chatbot" / target / "state.json"
