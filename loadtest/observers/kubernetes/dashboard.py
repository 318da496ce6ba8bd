"""Ray's dashboard through the API server's service proxy: on a cluster one kubeconfig is all that is needed."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from loadtest.observers import NoAnswerInTime, ObserverError
from loadtest.observers.dashboard import TOKEN_HEADER
from loadtest.observers.kubernetes.api import Api, Refused
from loadtest.observers.kubernetes.objects import Object, dig, name

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+:\d+")  # another one for each pod that is tried


class ServiceProxy:
    """The dashboard of whichever RayCluster serves now."""

    def __init__(self, api: Api, namespace: str, service: str) -> None:
        self._api = api
        self._namespace = f"/api/v1/namespaces/{namespace}"
        self._service_path = f"/apis/ray.io/v1/namespaces/{namespace}/rayservices/{service}"
        self._clusters_path = f"/apis/ray.io/v1/namespaces/{namespace}/rayclusters"
        self._way: tuple[str, dict[str, str]] | None = None  # to the head's service, and the token's header

    def read(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET. Raises ObserverError."""
        base, headers = self._way or self._find()
        try:
            body = self._api.read(base + path + (f"?{urlencode(query)}" if query else ""), headers=headers)
        except ObserverError as error:
            self._way = None  # it may be another cluster by now, or another token
            said = (
                f"{error.status}: {_ADDRESS.sub('the head', error.message)}"
                if isinstance(error, Refused)
                else str(error)
            )
            kind = NoAnswerInTime if isinstance(error, NoAnswerInTime) else ObserverError
            raise kind(f"Ray's dashboard does not answer through the API server ({said})") from error
        self._way = base, headers
        return body

    def _find(self) -> tuple[str, dict[str, str]]:
        service = self._api.find(self._service_path) or {}
        wanted = dig(service, "status", "activeServiceStatus", "rayClusterName") or dig(
            service, "status", "pendingServiceStatus", "rayClusterName"
        )
        cluster = self._api.find(f"{self._clusters_path}/{wanted}") if wanted else None
        if cluster is None:
            raise ObserverError("the RayService has no RayCluster yet, so there is no dashboard to ask")
        head = dig(cluster, "status", "head", "serviceName") or f"{name(cluster)}-head-svc"
        return f"{self._namespace}/services/{head}:dashboard/proxy", self._token(cluster)

    def _token(self, cluster: Object) -> dict[str, str]:
        """The header with the token; empty where Ray asks for none."""
        if dig(cluster, "spec", "authOptions", "mode") != "token":
            return {}
        secret_name = dig(cluster, "spec", "authOptions", "secretName") or name(cluster)
        secret = self._api.find(f"{self._namespace}/secrets/{secret_name}")
        coded = dig(secret, "data", "auth_token")
        if not coded:
            raise ObserverError(f"secret {secret_name} of RayCluster {name(cluster)} has no auth_token")
        return {TOKEN_HEADER: f"Bearer {base64.b64decode(coded).decode()}"}
