"""Image archives that containerd imports, written without any image tool."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

NAME_ANNOTATION = "io.containerd.image.name"


def oci(path: Path, name: str, manifest: bytes, media_type: str, blobs: Mapping[str, Path]) -> None:
    """Write an OCI archive; blobs that the node has already may be left out."""
    digest = hashlib.sha256(manifest).hexdigest()
    entry = {
        "mediaType": media_type,
        "digest": f"sha256:{digest}",
        "size": len(manifest),
        "annotations": {NAME_ANNOTATION: name},
    }
    index = {"schemaVersion": 2, "manifests": [entry]}
    with tarfile.open(path, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        for blob, file in blobs.items():
            archive.add(file, f"blobs/sha256/{blob}")
        _add(archive, f"blobs/sha256/{digest}", manifest)
        _add(archive, "index.json", json.dumps(index).encode())


def pause(path: Path, name: str, binary: bytes) -> None:
    """Write an archive in docker's format of an image with one program in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, "pause", binary, 0o755)
    layer = buffer.getvalue()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add(archive, "layer.tar", layer)
        _add(archive, "config.json", json.dumps(config).encode())
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))
