"""Where the target is; the only reader of the environment in this package.

Precedence: a command's flags, then `CHATBOT_LOADTEST_<NAME>` in the environment, then what the local target wrote down
when it was deployed.
"""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_URL = "http://127.0.0.1:8000"


class Settings(BaseSettings):
    """What may come from the environment."""

    model_config = SettingsConfigDict(env_prefix="CHATBOT_LOADTEST_", frozen=True, extra="ignore")

    base_url: str | None = Field(None, description="The chatbot's address, without /v1.")
    api_key: str | None = Field(None, description="Sent as a bearer token.")
    dashboard_url: str | None = Field(None, description="Ray's dashboard, for the observer of Serve.")
    dashboard_token: str | None = Field(None, description="Ray's token, where its dashboard wants one.")
