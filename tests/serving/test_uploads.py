"""Uploads: slow and refused ones hold nothing, and leave nothing behind."""

import base64
import resource
import socket
import time

import httpx2 as httpx
import numpy as np
import pytest

import mgrec
from mgrec.serving.live import Live
from mgrec.serving.uploads import PICTURE, PICTURES
from tests.serving.process import running
from tests.serving.test_api import newcomers, npy, refusal


@pytest.fixture(scope="module")
def made(shop):
    return mgrec.load(shop / "run")


@pytest.fixture(scope="module")
def picture(shop) -> str:
    return base64.b64encode(next((shop / "data" / "images").iterdir()).read_bytes()).decode()


def kept(run) -> list[str]:
    folder = run / "uploads"
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def with_picture(made, picture: str, *names: str) -> dict:
    body = newcomers(made, *names)
    for item in body["items"]:
        item["picture"] = picture
    return body


@pytest.mark.parametrize(
    "spoilt",
    [
        {"embeddings": {"text": "AAAA"}},
        {"embeddings": {}, "items": [{"item_id": "i00"}, {"item_id": "n"}]},
        {"items": [{"item_id": "n"}, {"item_id": "n"}]},
        {"items": [{"item_id": "n"}, {"item_id": "m", "picture": base64.b64encode(b"x").decode()}]},
        {"items": [{"item_id": "n", "price": "dear"}, {"item_id": "m", "price": 1.0}]},
    ],
)
def test_a_refused_addition_leaves_no_picture(serving, run, made, picture, spoilt):
    body = newcomers(made, "new-1", "new-2") | spoilt
    body["items"][0] = body["items"][0] | {"picture": picture}
    with serving(run) as client:
        assert client.post("/v1/items", json=body).status_code == 422
        assert kept(run) == []
        assert client.post("/v1/items", json=with_picture(made, picture, "a")).status_code == 200
        [name] = kept(run)
        assert client.post("/v1/items", json=body).status_code == 422
        assert kept(run) == [name]  # which another item has


def test_a_refused_addition_leaves_the_picture_that_another_process_added(run, made, picture):
    """Of two servers, one is refused after the other has added the same picture."""
    from mgrec.serving.schemas import AddRequest
    from mgrec.serving.uploads import add_items

    first, second = Live.open(run), Live.open(run)
    asked = AddRequest.model_validate(with_picture(made, picture, "new-1"))
    add_items(first, asked)
    with pytest.raises(mgrec.errors.DataError):
        add_items(second, asked)
    assert len(kept(run)) == 1


def test_too_many_or_too_large_pictures_are_refused(serving, run, made, picture):
    large = base64.b64encode(b"\x89PNG" + bytes(PICTURE)).decode()
    with serving(run) as client:
        found = client.post("/v1/items", json=with_picture(made, large, "new-1"))
        assert "items.0.picture: found 8,388,612 bytes, expected at most" in refusal(found, 422)
        names = [f"n{place}" for place in range(PICTURES + 1)]
        tiny = base64.b64encode(b"x").decode()
        found = client.post("/v1/items", json=with_picture(made, tiny, *names))
        assert "found 2,001 pictures, expected at most 2,000" in refusal(found, 422)
        assert kept(run) == []


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (3e37, "found 3e+37, expected numbers up to 1e+15"),
        (-3e37, "found -3e+37, expected numbers up to 1e+15"),
        (2e15, "found 2e+15, expected numbers up to 1e+15"),
        (1e300, "found inf, expected finite numbers"),
    ],
)
def test_vectors_too_large_for_distances_are_refused(serving, run, made, value, line):
    body = newcomers(made, "new-1")
    body["embeddings"]["text"] = npy(np.full((1, 32), value, "f8"))
    with serving(run) as client:
        assert line in refusal(client.post("/v1/items", json=body), 422)
        assert client.get("/readyz").json()["versions"] == {"run": 0}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"history": [], "k": 3, "k": 5}', "'k'"),
        (b'{"history": ["i00"], "exclude": ["i01"], "exclude": []}', "'exclude'"),
        (b'{"history": [], "max_per": {"a": 1, "a": 2}}', "'a'"),
        (b'{"history": [], "\\u006b": 3, "k": 5}', "'k'"),
    ],
)
def test_a_field_that_stands_twice_is_refused(client, body, field):
    headers = {"content-type": "application/json"}
    found = client.post("/v1/recommend", content=body, headers=headers)
    assert f"found the field {field} twice" in refusal(found, 400)
    found = client.post(
        "/v1/items", content=b'{"items": [{"item_id": "a", "item_id": "b"}]}', headers=headers
    )
    assert "found the field 'item_id' twice" in refusal(found, 400)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused_as_attributes(serving, run, number):
    body = b'{"items": [{"item_id": "n", "price": ' + number + b"}]}"
    headers = {"content-type": "application/json"}
    with serving(run) as client:
        found = client.post("/v1/items", content=body, headers=headers)
        refusal(found, found.status_code)
        assert found.status_code in (400, 422)


def test_slow_bodies_take_no_place_of_uploads(run, made, tmp_path):
    """Twenty additions whose bodies do not end leave room for one that does."""
    head = (
        b"POST /v1/items HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 1000\r\n\r\n{"
    )
    with running(tmp_path / "log", run, "--watch", 0) as server:
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for one in slow:
            one.sendall(head)
        time.sleep(0.3)
        found = httpx.post(f"{server.url}/v1/items", json=newcomers(made, "new-1"), timeout=30)
        assert found.status_code == 200, found.text
        for one in slow:
            one.close()


def test_bodies_that_are_coming_have_a_bound_together(serving, run, made):
    with serving(run, uploads=1, upload=3000) as client:
        assert client.post("/v1/items", json={"items": [{"item_id": "a"}]}).status_code != 503
    with serving(run, bodies=10) as client:
        found = client.post("/v1/recommend", json={"history": ["i00"]})
        assert "too many bodies" in refusal(found, 503)
        assert client.get("/healthz").status_code == 200


def test_a_full_disk_is_507_and_the_version_before_stands(run, made, picture, tmp_path):
    with running(tmp_path / "log", run, "--watch", 0) as server:
        asked = with_picture(made, picture, "new-1")
        before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100, before[1]))
        found = httpx.post(f"{server.url}/v1/items", json=asked, timeout=30)
        assert found.status_code == 507, found.text
        assert "\n" not in found.json()["error"]
        assert httpx.get(f"{server.url}/readyz").json()["versions"] == {"run": 0}
        assert kept(run) == []
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
        found = httpx.post(f"{server.url}/v1/items", json=asked, timeout=30)
        assert found.status_code == 200, found.text
        assert server.process.poll() is None
