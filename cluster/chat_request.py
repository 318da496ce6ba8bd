"""One chat over HTTP, as any client of OpenAI's API would send it: the proof that a target answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import httpx

from cluster.errors import ClusterError

CONNECT_S = 5.0
READ_S = 120.0


def is_ready(base_url: str) -> bool:
    """Whether the front door leads to a replica that would accept a request."""
    try:
        return httpx.get(f"{base_url}/ready", timeout=CONNECT_S, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def model_id(base_url: str, *, api_key: str | None) -> str:
    """The model that is served. Raises ClusterError with what the server said instead."""
    try:
        response = httpx.get(f"{base_url}/v1/models", headers=_headers(api_key), timeout=READ_S, trust_env=False)
    except httpx.HTTPError as error:
        raise ClusterError(f"{base_url} does not answer ({error}): is it deployed? See `status`.") from error
    _check(response)
    return str(response.json()["data"][0]["id"])


def stream_chat(base_url: str, prompt: str, *, sampling: Mapping[str, float], api_key: str | None) -> Iterator[str]:
    """The answer's text as it comes; `sampling` is max_tokens and the like. Raises ClusterError when it is refused, fails or breaks off."""
    body = {
        "model": model_id(base_url, api_key=api_key),
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        **sampling,
    }
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    url = f"{base_url}/v1/chat/completions"
    try:
        with (
            httpx.Client(timeout=timeout, trust_env=False) as http,
            http.stream("POST", url, json=body, headers=_headers(api_key)) as response,
        ):
            if response.status_code != httpx.codes.OK:
                response.read()
                _check(response)
            yield from _contents(response.iter_lines())
    except httpx.HTTPError as error:
        raise ClusterError(f"The answer broke off ({error}): see the replicas' logs.") from error


def _contents(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("data:"):
            continue  # a heartbeat, or the empty line after an event
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        event = json.loads(data)
        if "error" in event:
            raise ClusterError(f"The answer failed: {event['error']['message']}")
        for choice in event["choices"]:
            if text := choice["delta"].get("content"):
                yield text
    raise ClusterError("The answer broke off before its end: see the replicas' logs.")


def _check(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.OK:
        return
    try:
        said = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):  # Serve's and HAProxy's own answers are plain text
        said = response.text.strip()[:300]
    raise ClusterError(f"The chatbot answered {response.status_code}: {said}")


def _headers(api_key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}
