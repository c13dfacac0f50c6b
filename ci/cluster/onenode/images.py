"""Bring images to the node: from buildah's or docker's store, and the pause image."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onenode import archives, shell
from onenode.configs import PAUSE_IMAGE
from onenode.errors import ClusterError, UsageError
from onenode.paths import Paths
from onenode.progress import Progress
from onenode.registry import Push, serving

SOURCE_LABEL = "dask-flows.dev/source-image"
IMPORT_SECONDS = 600.0
# Always the same: buildah remembers for each repository which layers it has sent there.
PUSH_PORT = 15005
PUSH_TARGET = f"docker://127.0.0.1:{PUSH_PORT}/node:image"


@dataclass(frozen=True)
class Stored:
    """Name an image of a local store: the store's command, its id there."""

    store: str
    identity: str


def check_name(image: str) -> None:
    """Raise UsageError for a short name: pods would look for it in a public registry."""
    host, slash, rest = image.partition("/")
    if not slash or not (("." in host) or (":" in host) or host == "localhost"):
        raise UsageError(
            f"not a full image name: {image}",
            where="load",
            do=f"name it with a registry, for example registry.local/{image}",
        )
    if ":" not in rest:
        raise UsageError(f"an image name without a tag: {image}", where="load", do="add :TAG")


def buildah_environment() -> dict[str, str]:
    """Let buildah work as root inside virtual machines and containers; the caller's choice wins."""
    defaults = {"STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot"}
    return {**defaults, **os.environ}


def find(image: str) -> Stored:
    """Find an image in buildah's store, then in docker's; raise ClusterError if in none."""
    questions = {
        "buildah": ["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}"],
        "docker": ["docker", "image", "inspect", "--format", "{{.Id}}"],
    }
    for store, question in questions.items():
        try:
            done = shell.attempt([*question, image], env=buildah_environment())
        except ClusterError:  # not installed
            continue
        if done.returncode == 0:
            return Stored(store, done.stdout.strip())
    raise ClusterError(
        f"no image {image}",
        where="the stores of buildah and docker",
        do="build it first, for example with images/build.sh",
    )


def load(images: Sequence[str], paths: Paths, progress: Progress) -> None:
    """Load images into containerd unless the node has them already, by id."""
    for image in images:
        check_name(image)
        stored = find(image)
        if f"{SOURCE_LABEL}={stored.identity}" in _described(image, paths):
            progress.say(f"{image} is on the node")
            continue
        with progress.step(f"load {image} from {stored.store}"):
            with tempfile.TemporaryDirectory(dir=paths.cluster, prefix="load-") as folder:
                archive = Path(folder) / "image.tar"
                export = _export_docker if stored.store == "docker" else _export_buildah
                export(image, archive, paths)
                _import(archive, paths)
            label = ["images", "label", image, f"{SOURCE_LABEL}={stored.identity}"]
            _ctr(paths, label)


def _export_docker(image: str, archive: Path, _: Paths) -> None:
    command = ["docker", "image", "save", "--output", str(archive), image]
    shell.run(command, seconds=IMPORT_SECONDS)


def _export_buildah(image: str, archive: Path, paths: Paths) -> None:
    """Have buildah push to us, which skips the layers that the node has."""
    content = paths.cluster / "containerd/io.containerd.content.v1.content/blobs/sha256"

    def known(digest: str) -> int | None:
        blob = content / digest
        return blob.stat().st_size if blob.exists() else None

    push = Push(archive.parent, known)
    options = ["--quiet", "--tls-verify=false", "--format=oci", "--compression-level=1"]
    with serving(push, PUSH_PORT):
        shell.run(
            ["buildah", "push", *options, image, PUSH_TARGET],
            seconds=IMPORT_SECONDS,
            env=buildah_environment(),
        )
    archives.oci(archive, image, push.manifest, push.media_type, push.blobs())


def _import(archive: Path, paths: Paths) -> None:
    _ctr(paths, ["images", "import", "--digests=false", str(archive)])


def _described(image: str, paths: Paths) -> str:
    """Return containerd's line about an image, "" if it has none."""
    lines = _ctr(paths, ["images", "ls", f"name=={image}"]).splitlines()
    return "\n".join(lines[1:])


def listed(paths: Paths) -> list[str]:
    """Return the names of the images on the node."""
    names = _ctr(paths, ["images", "ls", "--quiet"]).split()
    return [name for name in names if not name.startswith("sha256:") and "@" not in name]


def _ctr(paths: Paths, words: list[str]) -> str:
    command = [str(paths.bin / "ctr"), "--address", str(paths.containerd_socket)]
    return shell.run([*command, "--namespace", "k8s.io", *words], seconds=IMPORT_SECONDS)


def ensure_pause(paths: Paths) -> None:
    """Load the image that holds a pod's namespaces; made here, so that no store is needed."""
    binary = (paths.bin / "pause").read_bytes()
    identity = hashlib.sha256(binary).hexdigest()
    if f"{SOURCE_LABEL}={identity}" in _described(PAUSE_IMAGE, paths):
        return
    with tempfile.TemporaryDirectory(dir=paths.cluster, prefix="load-") as folder:
        archive = Path(folder) / "pause.tar"
        archives.pause(archive, PAUSE_IMAGE, binary)
        _import(archive, paths)
    _ctr(paths, ["images", "label", PAUSE_IMAGE, f"{SOURCE_LABEL}={identity}"])
