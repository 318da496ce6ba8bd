"""The only code of this package that talks to the API server: plain objects in, plain objects out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes.client import ApiClient
from kubernetes.client import Configuration as ClientConfiguration
from kubernetes.config import ConfigException, load_kube_config

from cluster.errors import Refused
from cluster.objects import dig, mapping, mappings, text
from cluster.transport import ApiError, Pace, Query, Transport
from cluster.watch import CONNECTION_S, Event, Listing, follow

FIELD_MANAGER = "chatbot-cluster"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """How the API server calls a kind, and whether its objects live in namespaces."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    listable: bool = True

    @property
    def group(self) -> str:
        """The empty string for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, name: str = "", namespace: str = "") -> str:
        """Of one object or of the collection; without a namespace that of all namespaces."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{place}/{self.plural}" + (f"/{name}" if name else "")


class Api:
    """One cluster, seen by one user."""

    def __init__(self, client: ApiClient, *, name: str, pace: Pace | None = None) -> None:
        self.name = name
        self.pace = pace or Pace()
        self.host = str(client.configuration.host)
        self.transport = Transport(client, self.pace)
        self._resources: dict[str, dict[str, Resource]] = {}

    @classmethod
    def connect(
        cls, kubeconfig: Path | str | None = None, context: str | None = None, *, pace: Pace | None = None
    ) -> Api:
        """The cluster of a kubeconfig's context, by default the current one; several files as in KUBECONFIG.

        Raises Refused where there is none, or where its credential plugin fails.
        """
        configuration = ClientConfiguration()
        where = str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
        if not any(Path(file).expanduser().exists() for file in where.split(os.pathsep) if file):
            raise _no_cluster(f"there is no file {where}")
        try:
            with _complaints() as complaints:
                load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=where, context=context, client_configuration=configuration, persist_config=False
                )
        except (ConfigException, OSError) as error:
            raise _no_cluster(f"{where}: {error}") from error
        except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:  # it expects no other file
            raise _no_cluster(f"{where} is not a kubeconfig ({error})") from error
        if complaints:
            raise Refused(
                f"No credentials for the cluster: the plugin that {where} names (users, exec) fails: "
                f"{_one_line(complaints[0])}. Mend that first; on EKS it is the aws command line, with valid AWS credentials."
            )
        configuration.retries = False  # what is repeated is decided by our transport alone
        if urlsplit(configuration.host).hostname in _LOOPBACK:
            configuration.proxy = None
        return cls(ApiClient(configuration), name=context or configuration.host, pace=pace)

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """How the API server serves this kind, None where it does not."""
        if kind not in self._resources.get(api_version, {}):  # also when asked before: its CRD may be there by now
            self._resources[api_version] = {found.kind: found for found in self._discover(api_version)}
        return self._resources[api_version].get(kind)

    def server_version(self) -> str:
        """As `v1.33.4-eks-1234`."""
        return text(self._read("/version").get("gitVersion"))

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """One object, None where there is none."""
        try:
            return self._read(resource.path(name, namespace))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def listing(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        """The objects of a namespace or of all, chosen by label and field selectors."""
        answer = self._read(resource.path(namespace=namespace), _selectors(labels, fields))
        identity = {"apiVersion": resource.api_version, "kind": resource.kind}  # lists leave it out of their items
        items: list[Object] = [{**identity, **item} for item in mappings(answer.get("items"))]
        return Listing(items, text(dig(answer, "metadata", "resourceVersion")))

    def open_watch(
        self, resource: Resource, namespace: str, *, labels: str, fields: str, version: str, timeout_s: int
    ) -> Iterator[Event]:
        """One connection's events until the server ends it, after `timeout_s` at the latest.

        Raises Gone where `version` is too old, Interrupted where the connection breaks.
        """
        query = [
            *_selectors(labels, fields),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(timeout_s)),
        ]
        return self.transport.stream(resource.path(namespace=namespace), query, timeout_s=timeout_s)

    def apply(self, value: Object, resource: Resource, *, force: bool = False, dry_run: bool = False) -> Object:
        """Server-side apply as our field manager; the object as it then is, or with `dry_run` would be.

        Raises ApiError with status 409 and the fields in `causes` where another manager owns them and not `force`.
        """
        query = [("fieldManager", FIELD_MANAGER), ("force", "true" if force else "false")]
        if dry_run:
            query.append(("dryRun", "All"))
        path = resource.path(text(dig(value, "metadata", "name")), text(dig(value, "metadata", "namespace")))
        return self.transport.ask("patch", path, query, body=value, content_type="application/apply-patch+yaml")

    def delete(self, value: Object, resource: Resource, *, foreground: bool = False) -> None:
        """Delete exactly this object: one of the same name that was made since is left alone."""
        metadata = mapping(value.get("metadata"))
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": metadata.get("uid")},
            "propagationPolicy": "Foreground" if foreground else "Background",
        }
        try:
            self.transport.ask(
                "delete", resource.path(text(metadata.get("name")), text(metadata.get("namespace"))), body=body
            )
        except ApiError as error:
            if error.status not in {404, 409}:  # gone, or another object by now
                raise

    def is_allowed(self, attributes: Mapping[str, str]) -> bool:
        """Whether the caller may do this: the `resourceAttributes` of a SelfSubjectAccessReview."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": dict(attributes)},
        }
        answer = self.transport.ask("post", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool(dig(answer, "status", "allowed"))

    def _discover(self, api_version: str) -> list[Resource]:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            entries = mappings(self._read(root).get("resources"))
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return [
            Resource(
                api_version,
                text(entry.get("kind")),
                text(entry.get("name")),
                bool(entry.get("namespaced")),
                "list" in (entry.get("verbs") or ()),
            )
            for entry in entries
            if "/" not in text(entry.get("name"))  # a subresource
        ]

    def _read(self, path: str, query: Query | None = None) -> Mapping[str, Any]:
        return self.transport.ask("get", path, query)


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects of one kind that can be listed and watched: a `watch.Source`."""

    api: Api
    resource: Resource
    namespace: str = ""  # all of them
    labels: str = ""
    fields: str = ""

    def listing(self) -> Listing:
        """All of it now."""
        return self.api.listing(self.resource, self.namespace, labels=self.labels, fields=self.fields)

    def connection(self, version: str) -> Iterator[Event]:
        """Its events after `version`. Raises Gone or Interrupted."""
        return self.api.open_watch(
            self.resource,
            self.namespace,
            labels=self.labels,
            fields=self.fields,
            version=version,
            timeout_s=CONNECTION_S,
        )

    def follow(self) -> Iterator[list[Object]]:
        """The whole collection, again after each change and now and then without one."""
        return follow(self, self.api.pace.back_off)


def _selectors(labels: str, fields: str) -> Query:
    return [(name, value) for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value]


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """The errors that are logged meanwhile: the client only logs that a credential plugin fails, and goes on without."""
    said: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    keeper = Keeper(logging.ERROR)
    logging.getLogger().addHandler(keeper)
    try:
        yield said
    finally:
        logging.getLogger().removeHandler(keeper)


def _no_cluster(why: str) -> Refused:
    return Refused(
        f"No cluster to talk to: {_one_line(why)}. "
        "Set KUBECONFIG to a kubeconfig, or make one: aws eks update-kubeconfig --name CLUSTER"
    )


def _one_line(said: str) -> str:
    return " ".join(said.split()).rstrip(".")[:300]
