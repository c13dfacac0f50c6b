"""Images reach the node whole, and a layer that is there is not sent again."""

import hashlib
import http.client
import io
import json
import socket
import tarfile

import pytest
from onenode import archives, images
from onenode.errors import UsageError
from onenode.registry import Push, serving

BLOB = b"layer" * 1000
DIGEST = hashlib.sha256(BLOB).hexdigest()


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("registry.local/dask-flows:dev", True),
        ("localhost/x:1", True),
        ("host:5000/team/x:1", True),
        ("dask-flows:dev", False),
        ("team/dask-flows:dev", False),
        ("registry.local/dask-flows", False),
    ],
)
def test_only_full_names_with_a_tag_are_loaded(name, fine):
    """The kubelet would look for a short name in a public registry."""
    if fine:
        images.check_name(name)
    else:
        with pytest.raises(UsageError):
            images.check_name(name)


@pytest.fixture
def served(tmp_path):
    """Serve a push; the node knows one blob of 7 bytes."""
    push = Push(tmp_path, lambda digest: 7 if digest == "a" * 64 else None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(push, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        yield push, connection
        connection.close()


def ask(connection, method, path, body=None, headers=None):
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    answer.read()
    return answer


def upload(connection, digest, pieces):
    """Push a blob as buildah does: begin, send (in chunks if several pieces), name it."""
    place = ask(connection, "POST", "/v2/node/blobs/uploads/").headers["Location"]
    body = iter(pieces) if len(pieces) > 1 else pieces[0]
    place = ask(connection, "PATCH", place, body).headers["Location"]
    return ask(connection, "PUT", f"{place}?digest=sha256%3A{digest}").status


@pytest.mark.parametrize("pieces", [[BLOB], [BLOB[:10], BLOB[10:]]], ids=["sized", "chunked"])
def test_a_blob_arrives(served, pieces):
    """It is kept under its digest, and then known."""
    push, connection = served
    before = ask(connection, "HEAD", f"/v2/node/blobs/sha256:{DIGEST}").status
    status = upload(connection, DIGEST, pieces)
    after = ask(connection, "HEAD", f"/v2/node/blobs/sha256:{DIGEST}")

    assert (before, status, after.status) == (404, 201, 200)
    assert after.headers["Content-Length"] == str(len(BLOB))
    assert push.blobs()[DIGEST].read_bytes() == BLOB


def test_a_damaged_blob_is_refused(served):
    """The digest decides, and nothing of it is kept."""
    push, connection = served

    assert upload(connection, "b" * 64, [BLOB]) == 400
    assert push.blobs() == {}


def test_a_blob_of_the_node_is_answered_with_its_size(served):
    """The pusher writes that size into the manifest; zero would make the image unusable."""
    _, connection = served
    answer = ask(connection, "HEAD", "/v2/node/blobs/sha256:" + "a" * 64)

    assert (answer.status, answer.headers["Content-Length"]) == (200, "7")


def test_the_manifest_is_kept_as_sent(served):
    """Its bytes are what the digest is about."""
    push, connection = served
    media_type = "application/vnd.oci.image.manifest.v1+json"
    status = ask(
        connection, "PUT", "/v2/node/manifests/image", b'{"a": 1}', {"Content-Type": media_type}
    ).status

    assert status == 201
    assert (push.manifest, push.media_type) == (b'{"a": 1}', media_type)


def test_an_oci_archive_holds_the_manifest_and_the_sent_blobs(tmp_path):
    """The index names the image and points at the manifest."""
    blob = tmp_path / DIGEST
    blob.write_bytes(BLOB)
    archives.oci(tmp_path / "image.tar", "registry.local/x:1", b"{}", "type", {DIGEST: blob})
    with tarfile.open(tmp_path / "image.tar") as archive:
        names = archive.getnames()
        index = json.load(archive.extractfile("index.json"))
    entry = index["manifests"][0]

    assert f"blobs/sha256/{DIGEST}" in names
    assert f"blobs/{entry['digest'].replace(':', '/')}" in names
    assert entry["annotations"][archives.NAME_ANNOTATION] == "registry.local/x:1"


def test_the_pause_archive_is_the_same_every_time(tmp_path):
    """Equal input gives equal bytes, and the layer has the digest that the configuration says."""
    for name in ("first", "second"):
        archives.pause(tmp_path / name, "registry.local/pause:1", b"program")
    with tarfile.open(tmp_path / "first") as archive:
        layer = archive.extractfile("layer.tar").read()
        config = json.load(archive.extractfile("config.json"))
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        program = inner.getmember("pause")

    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert program.mode == 0o755
