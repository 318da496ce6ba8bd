"""What stands in the cluster: the live objects beside what a dry run says each desired one would become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.client import Api, Resource
from cluster.errors import Refused
from cluster.objects import Key, Manifest, mapping, mappings, text
from cluster.order import KINDS, is_deployable, places
from cluster.plan import TARGET_LABEL, Conflict, Observed, marked
from cluster.transport import ApiError

_CONFLICT = "FieldManagerConflict"
_IMMUTABLE = ("immutable", "may not be changed", "cannot be changed", "cannot change")


@dataclass(frozen=True, slots=True)
class Stage:
    """One cluster and the target whose objects we look at."""

    api: Api
    target: str
    _served: dict[tuple[str, str], Resource] = field(default_factory=dict)

    def resource(self, api_version: str, kind: str) -> Resource:
        """How the kind is served. Raises Refused where it is not."""
        known = self._served.get((api_version, kind)) or self.api.resource(api_version, kind)
        if known is None:
            raise Refused(f"The cluster does not know {kind} of {api_version}: install what brings it first.")
        self._served[api_version, kind] = known
        return known

    def live(self, manifest: Manifest) -> Mapping[str, Any] | None:
        """The object as it stands, None where there is none."""
        resource = self.resource(manifest.api_version, manifest.kind)
        return self.api.get(resource, manifest.name, manifest.namespace)

    def observe(self, desired: Iterable[Manifest]) -> dict[Key, Observed]:
        """Every desired object as it is and as it would become. Writes nothing.

        Raises Refused where the API server finds an object invalid.
        """
        return {manifest.key: self._observe(manifest) for manifest in desired}

    def ours(self, desired: Sequence[Manifest]) -> list[Mapping[str, Any]]:
        """Everything that a deploy of this target made: cluster-scoped, and in the namespaces of the manifests."""
        return list(self._in_places(places(desired, self._made_namespaces()), f"{TARGET_LABEL}={self.target}"))

    def within(self, namespace: str) -> list[Mapping[str, Any]]:
        """Every object of the kinds that we deploy in a namespace of ours, whoever made it."""
        return list(self._in_places([(kind, namespace) for kind in KINDS], ""))

    def _in_places(self, looked: Iterable[tuple[tuple[str, str], str]], labels: str) -> Iterator[Mapping[str, Any]]:
        for (api_version, kind), namespace in looked:
            resource = self.api.resource(api_version, kind)
            if resource is not None and resource.namespaced == bool(namespace):
                yield from self.api.listing(resource, namespace, labels=labels).items

    def _made_namespaces(self) -> list[str]:
        made = self.api.listing(self.resource("v1", "Namespace"), labels=f"{TARGET_LABEL}={self.target}").items
        return [Manifest(item).name for item in made]

    def orphans(self, desired: Sequence[Manifest]) -> list[Mapping[str, Any]]:
        """What we made and want no more."""
        wanted = {manifest.key for manifest in desired}
        return [value for value in self.ours(desired) if Manifest(value).key not in wanted and not is_leaving(value)]

    def body(self, manifest: Manifest, live: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is sent: with our label where the object is ours or new, and its namespace named."""
        value = marked(manifest, live, self.target)
        if not manifest.namespace:
            return value
        return {**value, "metadata": {**mapping(value["metadata"]), "namespace": manifest.namespace}}

    def _observe(self, manifest: Manifest) -> Observed:
        if not is_deployable(manifest.key):
            raise Refused(f"{manifest.key}: deploy does not know this kind, and destroy would not find it again.")
        resource = self.resource(manifest.api_version, manifest.kind)
        live = self.api.get(resource, manifest.name, manifest.namespace)
        if live is not None and is_leaving(live):
            raise Refused(f"{manifest.key} is being deleted; wait until it is gone, or run destroy to its end.")
        body = self.body(manifest, live)
        try:
            return Observed(live, self.api.apply(body, resource, dry_run=True))
        except ApiError as error:
            if error.status == 404 and live is None:
                return Observed()  # its namespace is yet to be made
            if live is not None and (conflicts := conflicts_of(error)):
                return Observed(live, self.api.apply(body, resource, dry_run=True, force=True), conflicts)
            if live is not None and error.status == 422 and any(word in str(error) for word in _IMMUTABLE):
                return Observed(live, immutable=str(error))
            raise Refused(f"{manifest.key} is not accepted. {error}") from error


def conflicts_of(error: ApiError) -> tuple[Conflict, ...]:
    """The fields of a refused apply that others manage; none where it was refused for another reason."""
    causes = [cause for cause in error.causes if cause.get("reason") == _CONFLICT]
    return tuple(
        Conflict(text(cause.get("field")).lstrip("."), _manager(text(cause.get("message")))) for cause in causes
    )


def is_leaving(value: Mapping[str, Any]) -> bool:
    """Whether the object is being deleted."""
    return bool(mapping(value.get("metadata")).get("deletionTimestamp"))


def owners(value: Mapping[str, Any]) -> list[str]:
    """The uids of what this object goes away with."""
    return [text(owner.get("uid")) for owner in mappings(mapping(value.get("metadata")).get("ownerReferences"))]


def _manager(message: str) -> str:
    quoted = message.split('"')
    return quoted[1] if len(quoted) > 1 else message
