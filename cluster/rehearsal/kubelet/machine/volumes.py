"""A pod's volumes as folders of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.objects import mapping, text
from cluster.quantity import parse
from cluster.rehearsal.kubelet.machine.sandbox import Sandbox, tmpfs
from cluster.rehearsal.kubelet.pod import files
from cluster.rehearsal.kubelet.pod.fields import Unresolved

_CREATED_FOLDERS = frozenset({"", "DirectoryOrCreate", "Directory"})


@dataclass(frozen=True, slots=True)
class Volumes:
    """Makes the volumes of one pod."""

    sandbox: Sandbox
    node_folder: Path  # stands for the node's disk, for hostPath
    group: int | None  # fsGroup

    def make(self, volume: Mapping[str, Any], sources: files.Sources) -> Path:
        """Where it is. Idempotent. Raises Unresolved with the kubelet's own sentence, MountFailed."""
        name = text(volume.get("name"))
        if "emptyDir" in volume:
            return self._empty(name, mapping(volume["emptyDir"]))
        if "hostPath" in volume:
            return self._of_host(mapping(volume["hostPath"]))
        if any(kind in volume for kind in files.KINDS):
            content = {kind: volume[kind] for kind in files.KINDS if kind in volume}
            return self._written(name, files.files(content, sources))
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise Unresolved(f"volumes of kind {kinds} are not simulated by the process kubelet")

    def _empty(self, name: str, source: Mapping[str, Any]) -> Path:
        """A disk's emptyDir has no limit here: a kubelet evicts the pod that writes more, this one does not."""
        if source.get("medium") != "Memory":
            return self._owned(self.sandbox.disk / "volumes" / name)
        folder = self.sandbox.memory / "volumes" / name
        if not folder.is_mount():
            folder.mkdir(parents=True, exist_ok=True)
            limit = parse(source.get("sizeLimit"))
            tmpfs(folder, "mode=777" + (f",size={int(limit)}" if limit else ""))
        return self._owned(folder)

    def _of_host(self, source: Mapping[str, Any]) -> Path:
        path, kind = text(source.get("path")), text(source.get("type"))
        target = self.node_folder / path.lstrip("/")
        if kind in _CREATED_FOLDERS:
            target.mkdir(parents=True, exist_ok=True)
        elif kind == "FileOrCreate":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        elif not target.exists():
            raise Unresolved(f"hostPath type check failed: {path} is not a {kind.lower()} of this simulated node")
        return target

    def _written(self, name: str, content: list[files.File]) -> Path:
        folder = self.sandbox.memory / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in content:
            path = folder / file.path
            if not path.resolve().is_relative_to(folder.resolve()):
                raise Unresolved(f"the path {file.path} leaves the volume {name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
            path.chmod(file.mode)
            if self.group is not None:
                os.chown(path, -1, self.group)
                path.chmod(file.mode | 0o040)
        return folder

    def _owned(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        if self.group is not None:
            os.chown(folder, -1, self.group)
            folder.chmod(0o2777)
        return folder
