"""Hostile requests: each is refused with a 4xx and one line, and the server goes on."""

import base64
import json
import struct
import time
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgrec.serving.body import check_depth
from mgrec.serving.limits import Limits
from mgrec.serving.refusals import Refusal, of_validation
from tests.serving.test_api import refusal

JSON = {"content-type": "application/json"}
DEPTH = Limits().depth


def nested(depth: int) -> bytes:
    return b'{"history":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"history": [NaN]}',
        b'{"history": ["\\ud800"]}',
        b'{"history": [' + b"9" * 5000 + b"]}",
        b'{"k": 1e999, "history": []}',
        b'{"history": [], "k": 1' + b"0" * 400 + b"}",
        b'\xff\xfe{"history": []}',
        b'{"history": ["\x00"], "user": {}}',
        b"null",
        b'"' + b'\\"' * 50_000,  # a string that does not end
    ],
)
def test_bodies_that_are_no_request_are_refused(client, body):
    found = client.post("/v1/recommend", content=body, headers=JSON)
    refusal(found, found.status_code)
    assert found.status_code in (400, 422)


@pytest.mark.parametrize("path", ["recommend", "similar", "explain", "items", "rollback"])
def test_deep_json_is_refused(client, path):
    for depth in (DEPTH, 1000, 200_000):
        found = client.post(f"/v1/{path}", content=nested(depth), headers=JSON)
        assert f"at most {DEPTH} levels deep" in refusal(found, 400)


@given(st.recursive(st.text(max_size=5) | st.integers(), st.lists, max_leaves=30))
def test_depth_is_counted_outside_of_strings_only(value):
    def depth(of: object) -> int:
        return 1 + max(map(depth, of), default=0) if isinstance(of, list) else 0

    body = json.dumps(value).encode()
    check_depth(body, max(depth(value), 1))
    if depth(value):
        with pytest.raises(Refusal):
            check_depth(body, depth(value) - 1)


def test_oversized_bodies_are_refused(serving, shop):
    with serving(shop / "run", body=1000, upload=5000) as client:
        found = client.post("/v1/recommend", json={"history": ["x" * 100] * 20})
        assert "at most 1,000 bytes" in refusal(found, 413)
        found = client.post("/v1/items", json={"items": [{"item_id": "x" * 3000}] * 2})
        assert "at most 5,000 bytes" in refusal(found, 413)
        huge = client.post("/v1/recommend", content=iter([b"[" * 900] * 100), headers=JSON)
        refusal(huge, 413)
        for length in ("99999999999", "9" * 5000):
            lies = {"content-length": length, **JSON}
            refusal(client.post("/v1/recommend", content=b"{}", headers=lies), 413)
        assert client.post("/v1/recommend", json={"history": []}).status_code == 200


def test_as_many_additions_as_memory_is_kept_for_are_taken_at_once(serving, shop):
    with serving(shop / "run", uploads=0) as client:
        found = client.post("/v1/items", json={"items": [{"item_id": "new-1"}]})
        assert "additions of items are running" in refusal(found, 503)
        assert found.headers["retry-after"] == "1"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_bodies_of_another_type_are_refused(client, kind):
    found = client.post("/v1/recommend", content=b'{"history": []}', headers={"content-type": kind})
    assert "application/json" in refusal(found, 415)


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/..%2f..%2fmanifest.json",
        "/pictures/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/pictures/..%5c..%5cmanifest.json",
        "/pictures/%00",
        "/pictures//etc/passwd",
        "/assets/..%2fbase.html",
        "/assets/%2e%2e/pages.py",
        "/assets/base.html",
        "/pictures/i00?run=../other",
    ],
)
def test_paths_lead_nowhere_else(client, path):
    refusal(client.get(path), 404)


def test_a_catalogue_that_points_out_of_its_folder_shows_nothing(shop, serving, tmp_path):
    """An artifact from elsewhere may name any file, and its data folder may hold links."""
    import polars as pl

    from mgrec import Recommender

    made = Recommender.load(shop / "run")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (shop / "data" / "images" / "link.png").symlink_to(secret)
    names = ["../secret.png", str(secret), "images/link.png", "images", "images/\0.png"]
    paths = pl.Series([*names, *made.catalogue.items["image"][len(names) :]], dtype=pl.String)
    object.__setattr__(made.catalogue, "items", made.catalogue.items.with_columns(image=paths))
    made.save(tmp_path / "run")
    with serving(tmp_path / "run") as client:
        for row in range(len(names)):
            refusal(client.get(f"/pictures/i{row:02}"), 404)
        assert client.get("/").status_code == 200
        shown = [client.get(f"/pictures/i{row:02}").status_code for row in range(10, 90)]
        assert shown.count(200) > 60


def png(width: int, height: int) -> bytes:
    """Return a valid PNG of so many black pixels, packed a thousandfold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\0" * (width // 8 + 1)) for _ in range(height))
    data = rows + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def truncated() -> bytes:
    from PIL import Image

    stream = BytesIO()
    Image.new("RGB", (64, 64), "red").save(stream, "JPEG")
    return stream.getvalue()[:-200]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "not a picture"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            "not a picture",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture"),
        (b"GIF89a", "not a picture"),
        (truncated(), "corrupt or cut off"),
        (png(20_000, 20_000), "over 50 million pixels"),
    ],
)
def test_malformed_pictures_and_bombs_are_refused(serving, run, data, line):
    body = {"items": [{"item_id": "new-1", "picture": base64.b64encode(data).decode()}]}
    with serving(run) as client:
        assert line in refusal(client.post("/v1/items", json=body), 422)
        assert client.get("/readyz").json()["versions"] == {"run": 0}
    assert not list((run / "uploads").glob("*"))  # which need not be there either


def test_an_item_of_thousands_of_columns_is_refused(serving, run):
    item = {"item_id": "new-1"} | {f"c{place}": place for place in range(3000)}
    with serving(run) as client:
        line = refusal(client.post("/v1/items", json={"items": [item]}), 422)
    assert "expected at most 100 fields" in line


def test_what_is_refused_is_told_at_once_however_long_it_was():
    begun = time.process_time()
    line = of_validation([{"loc": ("items", 0), "msg": "Too long", "input": "x" * 50_000_000}])
    assert time.process_time() - begun < 0.5
    assert line.startswith("items.0: too long, found 'xxx")


@pytest.mark.parametrize(
    "query",
    [
        "h=%00&h=%F0%9F%98%80&add=%3Cscript%3E",
        "k=99999999999999999999&page=-1&drop=x&page=%C2%B2",
        "run=%3Cscript%3E",
        "where=%3Cscript%3Ealert(1)%3C/script%3E",
        "user=%3Cscript%3Ealert(1)%3C/script%3E",
        "q=%3Cscript%3Ealert(1)%3C/script%3E",
        "q=" + "x" * 5000,
        "&".join(["h=i00"] * 3000),
    ],
)
def test_the_page_survives_any_address_and_writes_no_foreign_markup(client, query):
    for path in ("/", "/codes", "/run", "/explain"):
        found = client.get(f"{path}?{query}")
        assert found.status_code < 500
        if found.headers["content-type"].startswith("text/html"):
            assert "<script>" not in found.text
            assert "style-src 'self'" in found.headers["content-security-policy"]


def test_request_ids_cannot_bring_headers_or_lines(client):
    for given_id in ("a\tb", "x" * 65, "é", "a b", '{"a":1}'):
        found = client.get("/healthz", headers={"x-request-id": given_id.encode()})
        assert found.headers["x-request-id"] != given_id
        assert len(found.headers["x-request-id"]) == 16
    assert (
        client.get("/healthz", headers={"x-request-id": "ok-1"}).headers["x-request-id"] == "ok-1"
    )
