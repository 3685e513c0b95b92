"""A catalog in object storage, which a server of its own process keeps over the S3 protocol."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec

import httpx
import numpy as np
import pytest

from visionkit.flywheel.answers import Conflict, Correction, Proposal
from visionkit.flywheel.catalog import open_catalog
from visionkit.types import ObjectBox, Sample

DOG = ObjectBox("dog", (1.0, 2.0, 30.0, 40.0), "ann")
READER = """
import sys
from visionkit.flywheel.catalog import open_catalog
catalog = open_catalog(sys.argv[1])
for name, truth in sorted(catalog.truths().items()):
    print(name, truth.revision, *[entry.label for entry in truth.objects])
"""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if find_spec("moto") is None:
        pytest.skip("needs moto, an S3 server for tests, which is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        _make_bucket(f"{address}/bucket")
        yield "s3://bucket"
    finally:
        server.kill()
        server.wait()


def _make_bucket(url: str) -> None:
    for _ in range(300):
        try:
            httpx.put(url).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the S3 server does not answer at {url}")


def picture(number: int) -> Sample:
    return Sample(f"p{number}", f"/pictures/{number}.jpg", 64, 48, f"h{number}")


def test_a_catalog_in_object_storage_is_as_one_in_a_folder(bucket: str) -> None:
    place = f"{bucket}/shop"
    with pytest.raises(FileNotFoundError, match=r"visionkit predict .* catalog="):
        open_catalog(place)
    catalog = open_catalog(place, create=True)
    vectors = np.eye(3, dtype=np.float32)
    samples = [picture(n) for n in range(3)]
    catalog.add_samples(samples, thumbnails=[b"0", b"1", b"2"], embeddings=vectors)
    found = Proposal("f1", "p1", "exemplar", "dog", 0.75, 0.5, DOG.box, "m1")
    catalog.add_proposals([found])
    catalog.correct(Correction("a1", "p0", 0, "ann", "edit", (), (DOG,)))
    with pytest.raises(Conflict):
        catalog.correct(Correction("b1", "p0", 0, "bob", "edit"))
    catalog.correct(Correction("b2", "p2", 0, "bob", "edit"))
    version = catalog.merge(author="ann", note="first")
    assert (version.samples, version.boxes, version.corrections) == (2, 1, 2)

    again = open_catalog(place)
    assert again.samples(["p1", "p2"]) == [picture(1), picture(2)]
    assert [(box.label, box.box) for box in again.truth("p0").objects] == [("dog", DOG.box)]
    assert again.thumbnail("p2") == b"2"
    np.testing.assert_array_equal(again.embeddings()[1], vectors)
    assert [entry.sample_id for entry in again.proposals()] == ["p1"]
    assert [entry.reviewer for entry in again.corrections()] == ["ann", "bob"]
    assert {sample.id for sample in again.at("v1")} == {"p0", "p2"}


def test_another_process_sees_what_this_one_wrote(bucket: str) -> None:
    catalog = open_catalog(f"{bucket}/shop", create=True)
    catalog.add_samples([picture(0), picture(1)])
    catalog.correct(Correction("a1", "p0", 0, "ann", "edit", (), (DOG,)))
    command = [sys.executable, "-c", READER, catalog.uri]
    other = subprocess.run(command, check=True, capture_output=True, text=True)
    assert other.stdout.split("\n") == ["p0 1 dog", "p1 0", ""]
