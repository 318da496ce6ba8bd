from __future__ import annotations

from pathlib import Path

from cluster.settings import from_environment


def test_the_cache_folder_follows_xdg_and_falls_back_to_home() -> None:
    assert from_environment({"XDG_CACHE_HOME": "/c"}).cache_dir == Path("/c/trainium-chatbot")
    assert from_environment({"HOME": "/h"}).cache_dir == Path("/h/.cache/trainium-chatbot")


def test_the_api_key_is_kept_from_child_processes() -> None:
    settings = from_environment({"HOME": "/h", "CHATBOT_API_KEY": "secret"})
    assert settings.api_key == "secret"
    assert "CHATBOT_API_KEY" not in settings.environment
