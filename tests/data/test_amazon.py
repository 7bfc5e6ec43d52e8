"""The original files of Amazon 2014 become a data folder; all rows and pictures are invented."""

import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mgrec import cli
from mgrec.content.downloads import gather
from mgrec.content.fetching import Fetcher, Limits
from mgrec.conversion import convert_amazon
from mgrec.data.amazon import read_metadata
from mgrec.data.dataset import Dataset
from mgrec.data.literals import literal, record
from mgrec.errors import DataError, RequestError

QUICK = Limits(workers=4, rate=1000, attempts=3, backoff=0.01, timeout=5, megabytes=0.05)


def encoded(colour, kind="JPEG", size=(40, 30)) -> bytes:
    stream = BytesIO()
    Image.new("RGB", size, colour).save(stream, kind)
    return stream.getvalue()


RED, BLUE = encoded("red"), encoded("blue")
NOISE = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)


def large() -> bytes:
    stream = BytesIO()
    Image.fromarray(NOISE).save(stream, "PNG")
    return stream.getvalue()


@dataclass
class Shop:
    """A picture server: what it answers by path, and when it was asked."""

    address: str = ""
    answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = field(default_factory=dict)
    asked: list[tuple[str, float]] = field(default_factory=list)
    halves: dict[str, threading.Event] = field(default_factory=dict)

    def put(self, path: str, body: bytes = RED, status: int = 200, **headers: str) -> str:
        """Add an answer, given once all before it were; the last one stays. Returns the link."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault(path, []).append((status, names, body))
        return self.address + path

    def times(self, path: str) -> int:
        return sum(found == path for found, _ in self.asked)


@pytest.fixture
def shop(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    made = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            made.asked.append((self.path, time.monotonic()))
            given = made.answers.get(self.path, [(404, {}, b"gone")])
            status, headers, body = given[min(made.times(self.path), len(given)) - 1]
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if event := made.halves.get(self.path):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                event.set()
                time.sleep(60)
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # whoever asked was killed

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nobody():
    """An address at which nobody listens, and nobody else will meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def review(user: str, item: str, moment: int) -> dict:
    return {
        "reviewerID": user,
        "asin": item,
        "reviewerName": 'A "name"',
        "helpful": [0, 1],
        "reviewText": "What 'asin': 'X' means, I'll never know",
        "overall": 5.0,
        "summary": "fine",
        "unixReviewTime": moment,
        "reviewTime": "01 2, 2013",
    }


def item(asin: str, link: str | None = None, **more) -> dict:
    made = {"asin": asin, "title": f"Title of {asin}", **more}
    return made if link is None else {**made, "imUrl": link}


def text(rows, form) -> str:
    return "".join(f"{form(row)}\n" for row in rows)


def write(folder: Path, reviews, items, *, strict=False, zipped=True) -> tuple[Path, Path]:
    """Write both files; ``strict`` is JSON twice, else metadata are Python literals."""
    suffix = ".json.gz" if zipped else ".json"
    pack = gzip.compress if zipped else bytes
    first, second = folder / f"reviews_X{suffix}", folder / f"meta_X{suffix}"
    first.write_bytes(pack(text(reviews, json.dumps).encode()))
    second.write_bytes(pack(text(items, json.dumps if strict else repr).encode()))
    return first, second


def log_of(n_users=3, n_items=3) -> list[dict]:
    """Everybody reviews everything; the file goes item by item, as the originals do."""
    return [
        review(f"U{u}", f"B{i}", 1_300_000_000 + 86_400 * ((u + i) % n_items))
        for i in range(n_items)
        for u in range(n_users)
    ]


def history(data: Dataset, user: str) -> list[str]:
    row = data.users.to_list().index(user)
    start, end = data.log.offsets[row : row + 2]
    return data.items["item_id"].gather(data.log.items[start:end]).to_list()


@pytest.mark.parametrize(("strict", "zipped"), [(False, True), (True, False)])
def test_originals_become_a_folder(tmp_path, shop, strict, zipped):
    reviews = log_of(5, 5)
    reviews += [review("U9", f"B{i}", 1_300_000_000) for i in range(4)]  # too few
    # B7 has five reviews, but one is of a user who goes, and so it goes too.
    reviews += [review(u, "B7", 1_300_000_000) for u in ("U0", "U1", "U2", "U3", "U8")]
    items = [
        item(
            "B1",
            shop.put("/I/b1._SY300_.jpg"),
            description="Nails &amp; &quot;hammers&quot;,\n it&#39;s \u00e9t\u00e9",
            brand="O'Neill &lt;3",
            price=3.17,
            categories=[["Tools &amp; Home", "Hand"], ["Tools &amp; Home", "Garden"]],
            salesRank={"Tools": 12},
            related={"also_bought": ["B0", "B2"], "also_viewed": ["B3"]},
        ),
        {
            "asin": "B0",
            "imUrl": shop.put("/I/b0.png", encoded("red", "PNG")),
            "price": float("nan"),
        },
        item("B7", shop.put("/I/b7.jpg")),
        item("B2", shop.put("/x-site/icons/no-img-sm._V1_.gif"), title=None, price="cheap"),
        item("B3", shop.put("/I/b3"), description=7),
        item("B1", title="again"),
    ]
    if strict:
        items[1]["price"] = None
    files = write(tmp_path, reviews, items, strict=strict, zipped=zipped)
    if not strict:  # NaN has no literal
        files[1].write_bytes(gzip.compress(text(items, repr).replace("nan", "1e999").encode()))
    out = tmp_path / "data"
    made = convert_amazon(*files, out, limits=QUICK)

    found = pl.read_parquet(out / "items.parquet")
    assert found.to_dicts() == [
        dict(zip(found.columns, row, strict=True))
        for row in [
            ("B0", None, None, None, None, None, "images/B0.png"),
            (
                "B1",
                "Title of B1",
                'Nails & "hammers", it\'s \u00e9t\u00e9',
                "O'Neill <3",
                ["Tools & Home", "Hand", "Garden"],
                3.17,
                "images/B1.jpg",
            ),
            ("B2", None, None, None, None, None, None),
            ("B3", "Title of B3", None, None, None, None, "images/B3.jpg"),
            ("B4", None, None, None, None, None, None),
        ]
    ]
    expected = [(r["reviewerID"], r["asin"], r["unixReviewTime"]) for r in reviews[:25]]
    assert pl.read_parquet(out / "interactions.parquet").rows() == expected
    assert made.counts == {
        "reviews": 34,
        "users": 5,
        "items": 5,
        "interactions": 25,
        "pictures": 3,
        "fetched": 3,
        "dropped_without_picture": 0,
        "repeated_metadata": 1,
        "items_without_metadata": 1,
    }
    assert made.broken == {"no link": 2}
    assert shop.times("/I/b7.jpg") == 0
    assert shop.times("/x-site/icons/no-img-sm._V1_.gif") == 0

    data = Dataset.read(out)
    assert data.text_columns == ("title", "description", "brand", "categories")
    assert data.texts()[1].endswith("O'Neill <3. Tools & Home, Hand, Garden")
    assert data.texts()[0] is None
    assert [p and p.read_bytes()[:2] for p in data.pictures()[:2]] == [b"\x89P", b"\xff\xd8"]
    assert history(data, "U2") == ["B3", "B4", "B0", "B1", "B2"]
    assert data.times[0] == 1_300_000_000
    assert data.notes.warnings == ()


def test_repeats_stay_and_ties_keep_the_files_order(tmp_path):
    reviews = [review("U", i, 5) for i in ("B2", "B0", "B1", "B0")] + [review("V", "B2", 5)]
    files = write(tmp_path, reviews, [item("B0")])
    made = convert_amazon(*files, tmp_path / "data", core=1)
    assert made.counts["repeated_reviews"] == 1
    assert history(Dataset.read(tmp_path / "data"), "U") == ["B2", "B0", "B1", "B0"]


def test_every_way_a_picture_fails(tmp_path, shop, nobody):
    away = "ftp://example.invalid/x.jpg"
    links = {
        "good": shop.put("/good.jpg"),
        "moved": shop.put("/moved.jpg", b"", 302, Location="/good.jpg"),
        "busy": shop.put("/busy.jpg", b"", 503, Retry_After="0"),
        "flaky": shop.put("/flaky.jpg", RED, Content_Length=str(len(RED) + 9)),
        "absent": shop.address + "/absent.jpg",
        "overloaded": shop.put("/overloaded.jpg", b"", 503),
        "cut": shop.put("/cut.jpg", RED, Content_Length=str(len(RED) + 9)),
        "half": shop.put("/half.jpg", large()[:3000]),
        "page": shop.put("/page.jpg", b"<html>no picture</html>"),
        "empty": shop.put("/empty.jpg", b""),
        "huge": shop.put("/huge.jpg", large()),
        "dot": shop.put("/dot.gif", encoded("red", "GIF", (1, 1))),
        "loop": shop.put("/loop.jpg", b"", 302, Location="/loop.jpg"),
        "off": shop.put("/off.jpg", b"", 302, Location=away),
        "local": shop.put("/local.jpg", b"", 302, Location="file:///etc/passwd"),
        "file": "file:///etc/passwd",
        "words": "no link at all",
        "bracket": "http://[half/x.jpg",
        "closed": f"{nobody}/closed.jpg",
        "none": None,
        "../up": shop.put("/a b/\u00e9.jpg?x=1"),
    }
    shop.put("/busy.jpg")
    shop.put("/flaky.jpg")
    shop.answers["/a%20b/%C3%A9.jpg?x=1"] = shop.answers.pop("/a b/\u00e9.jpg?x=1")
    found = gather(links, tmp_path / "images", QUICK)
    assert found.problems == {
        "absent": "HTTP 404",
        "overloaded": "HTTP 503",
        "cut": "cut off",
        "half": "corrupt or cut off",
        "page": "not a picture",
        "empty": "not a picture",
        "huge": "over 0.05 MB",
        "dot": "a single pixel",
        "loop": "HTTP 302",
        "off": "not an HTTP link",
        "local": "HTTP 302",
        "file": "not an HTTP link",
        "words": "not an HTTP link",
        "bracket": "malformed link",
        "closed": "cannot be reached",
        "none": "no link",
    }
    assert list(found.files)[:4] == ["good", "moved", "busy", "flaky"]
    assert found.fetched == 5
    there = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert there == sorted(found.files.values())
    assert all("/" not in name for name in there)
    assert (shop.times("/absent.jpg"), shop.times("/overloaded.jpg")) == (1, 3)
    assert (shop.times("/busy.jpg"), shop.times("/flaky.jpg"), shop.times("/page.jpg")) == (2, 2, 1)


def test_a_body_of_unknown_length_is_bounded(shop):
    path = "/endless.jpg"
    shop.put(path, large(), Content_Length="")
    found = Fetcher(QUICK)
    with pytest.raises(Exception, match=r"over 0\.05 MB"):
        found.fetch(shop.address + path)


def test_requests_keep_to_the_rate(tmp_path, shop):
    links = {f"i{n}": shop.put(f"/{n}.jpg") for n in range(5)}
    gather(links, tmp_path, Limits(workers=5, rate=20))
    moments = sorted(moment for _, moment in shop.asked)
    assert moments[-1] - moments[0] > 3.5 / 20  # five requests, four gaps of 50 ms


def test_a_host_that_is_silent_is_left_alone(tmp_path, nobody):
    links = {f"i{n}": f"{nobody}/{n}.jpg" for n in range(30)}
    found = gather(links, tmp_path, Limits(workers=1, rate=1000, attempts=1, timeout=5))
    assert found.reasons() == {"cannot be reached": 20, "host does not answer": 10}


def test_what_is_there_is_taken_and_half_files_are_mended(tmp_path, shop):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "B0.PNG").write_bytes(encoded("blue", "PNG"))
    (folder / "B1.jpg").write_bytes(BLUE[:-200])
    (folder / "B2.jpg").write_bytes(BLUE[:-200])
    (folder / "B2.txt").write_bytes(b"a note")
    (folder / ".mgrec-draft-B3.jpg").write_bytes(b"half")
    links = {"B0": shop.put("/0.jpg"), "B1": shop.put("/1.jpg"), "B2": shop.address + "/gone.jpg"}
    only = gather(links, folder, None)
    assert (only.files, only.reasons()) == ({"B0": "B0.PNG"}, {"corrupt or cut off": 2})
    assert shop.asked == []
    found = gather(links, folder, QUICK)
    assert found.files == {"B0": "B0.PNG", "B1": "B1.jpg"}
    assert found.problems == {"B2": "HTTP 404"}
    assert (folder / "B1.jpg").read_bytes() == RED
    assert shop.times("/0.jpg") == 0
    assert sorted(p.name for p in folder.iterdir()) == ["B0.PNG", "B1.jpg", "B2.jpg", "B2.txt"]


def test_items_without_a_picture_go_on_request_and_the_core_is_taken_again(tmp_path, shop):
    # Without B3, user U3 has two reviews left, and then B2 has one.
    pairs = [(u, i) for u in ("U0", "U1", "U2") for i in ("B0", "B1", "B4")]
    pairs += [("U3", "B3"), ("U3", "B2"), ("U3", "B0"), ("U0", "B2"), ("U1", "B2")]
    pairs += [("U0", "B3"), ("U1", "B3")]
    links = {f"B{n}": shop.put(f"/{n}.jpg") for n in (0, 1, 2, 4)}
    files = write(
        tmp_path,
        [review(u, i, 100 + n) for n, (u, i) in enumerate(pairs)],
        [item(f"B{n}", links.get(f"B{n}", shop.address + "/gone.jpg")) for n in range(5)],
    )
    out = tmp_path / "data"
    kept = convert_amazon(*files, out, core=3, limits=QUICK)
    assert (kept.counts["users"], kept.counts["items"], kept.counts["pictures"]) == (4, 5, 4)
    dropped = convert_amazon(*files, out, core=3, limits=QUICK, drop_without_picture=True)
    assert dropped.counts["dropped_without_picture"] == 2
    assert dropped.counts["fetched"] == 0
    data = Dataset.read(out)
    assert data.items["item_id"].to_list() == ["B0", "B1", "B4"]
    assert data.users.to_list() == ["U0", "U1", "U2"]
    assert len(data.log.items) == 9
    assert None not in data.pictures()
    listed = pl.read_csv(out / "broken_pictures.csv").rows()
    assert listed == [("B3", shop.address + "/gone.jpg", "HTTP 404")]


def test_pictures_of_another_folder_are_linked_into_the_data(tmp_path, shop):
    links = [shop.put(f"/{n}.jpg", (RED, BLUE)[n % 2]) for n in range(3)]
    files = write(tmp_path, log_of(), [item(f"B{n}", links[n]) for n in range(3)])
    pool, out = tmp_path / "pool", tmp_path / "data"
    for _ in range(2):
        convert_amazon(*files, out, images=pool, core=3, limits=QUICK)
    data = Dataset.read(out)
    assert [path.read_bytes() for path in data.pictures()] == [RED, BLUE, RED]
    assert (pool / "B0.jpg").samefile(out / "images" / "B0.jpg")
    assert len(shop.asked) == 3
    (out / "images" / "B0.jpg").unlink()
    (out / "images" / "B0.jpg").write_bytes(b"another")
    convert_amazon(*files, out, images=pool, core=3)
    assert (out / "images" / "B0.jpg").read_bytes() == RED


@pytest.mark.parametrize(
    "way", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGINT]
)
def test_killed_and_resumed(tmp_path, shop, way):
    links = [shop.put(f"/{n}.jpg") for n in range(4)]
    files = write(tmp_path, log_of(4, 4), [item(f"B{n}", links[n]) for n in range(4)])
    out = tmp_path / "data"
    convert_amazon(*files, out, core=4)  # an earlier one, which stands until the new one is whole
    before = (out / "interactions.parquet").read_bytes()
    shop.halves["/2.jpg"] = threading.Event()
    command = "from mgrec.cli import main; main()"
    given = ["--reviews", files[0], "--meta", files[1], "--out", out, "--core", 4, "--workers", 1]
    call = [sys.executable, "-c", command, "convert", "amazon2014", *map(str, given)]
    run = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert shop.halves["/2.jpg"].wait(120)
    run.send_signal(way)
    _, err = run.communicate(timeout=30)
    assert run.returncode in (-signal.SIGKILL, 130)
    assert way == signal.SIGKILL or err.startswith("interrupted; ")
    assert "Traceback" not in err
    whole = sorted(p.name for p in (out / "images").iterdir() if not p.name.startswith("."))
    assert whole == ["B0.jpg", "B1.jpg"]
    assert (out / "interactions.parquet").read_bytes() == before
    shop.halves.clear()
    made = convert_amazon(*files, out, core=4, limits=QUICK)
    assert (made.counts["pictures"], made.counts["fetched"]) == (4, 2)
    assert [shop.times(f"/{n}.jpg") for n in range(4)] == [1, 1, 2, 1]
    assert sorted(p.name for p in (out / "images").iterdir()) == [f"B{n}.jpg" for n in range(4)]


NOT_PLAIN = {
    "code": "{'asin': 'B0', 'title': __import__('pathlib').Path('ran').touch()}",
    "a call in a string's place": "{'asin': 'B0', 'title': str(1)}",
    "a sum": "{'asin': 'B0', 'price': 1 + 1}",
    "a deep sum": "{'asin': 'B0', 'price': " + "-" * 50_000 + "1}",
    "deep brackets": "{'asin': 'B0', 'categories': " + "[" * 90 + "]" * 90 + "}",
    "deep JSON": '{"asin": "B0", "categories": ' + "[" * 50_000 + "]" * 50_000 + "}",
    "an open quote": "{'asin': 'B0', 'title': 'it's}",
    "half a line": "{'asin': 'B0', 'tit",
    "many open quotes": "{'asin': 'B0', 'title': " + "\\'" * 100_000,
    "a list as a key": "{'asin': 'B0', ['x']: 1}",
    "no dict": "['asin', 'B0']",
    "an f-string": "{'asin': 'B0', 'title': f'{1}'}",
    "a huge number": "{'asin': 'B0', 'price': " + "9" * 5000 + "}",
    "id as a number": "{'asin': 12}",
    "no id": "{'title': 'x'}",
    "too long": "{'asin': 'B0', 'description': '" + "x" * (1 << 20) + "'}",
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_metadata_that_are_no_record_are_counted(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "meta_X.json"
    path.write_text(f"\n{NOT_PLAIN[name]}\n{item('B1')!r}\n{{'asin': 'of no interest', broken\n")
    began = time.monotonic()
    found = read_metadata(path, {"B0", "B1"})
    assert time.monotonic() - began < 10
    assert list(found.items) == ["B1"]
    assert (found.rejected, found.lines) == (1, 3)
    assert found.first_rejected.startswith("line 2: found ")
    assert len(found.first_rejected) < 200
    assert not (tmp_path / "ran").exists()


def test_bytes_that_are_no_text_and_halves_of_characters(tmp_path):
    path = tmp_path / "meta_X.json"
    pair = r"{'asin': 'B1', 'title': '\ud83d\ude00 \ud83d', 'description': 'back\slash'}"
    path.write_bytes(b"\xef\xbb\xbf{'asin': 'B0', 'title': '\xff'}\n" + pair.encode())
    found = read_metadata(path, {"B0", "B1"})
    assert found.first_rejected.endswith("(byte 0xff is not UTF-8)")
    assert found.items["B1"]["title"] == "\U0001f600 \ufffd"
    assert found.items["B1"]["description"] == r"back\slash"


def test_literals_are_what_python_wrote():
    rows = [
        item("B0", "http://x/y.jpg", price=-1.5e-3, more=[None, True, False, (), {}, {1: 2}]),
        {"a": "it's", "b": 'say "x"', "c": "\\", "d": "\n\t\x00\u2028", "e": "'\"", "f": ""},
    ]
    for row in rows:
        assert literal(repr(row)) == row
        assert record(f"  {row!r}\r\n") == row
    assert record("{u'asin': u'B0'}") == {"asin": "B0"}


LINE = json.dumps(review("U", "B0", 5))
REFUSED = {
    "half a line": (f'{LINE}\n\n{{"reviewerID": "U", "as\n', ["line 3", "one whole review"]),
    "code": (f"{LINE}\nprint(1)\n", ["line 2", "'print(1)' (not a plain literal)"]),
    "no user": (f'{LINE}\n{{"asin": "B0", "unixReviewTime": 5}}', ["line 2", "'reviewerID'"]),
    "no item": ('{"reviewerID": "U", "asin": 5, "unixReviewTime": 5}', ["'asin'", "found 5"]),
    "no time": ('{"reviewerID": "U", "asin": "B0"}', ["'unixReviewTime': found None"]),
    "a date": (LINE.replace(": 5,", ': "2013",'), ["found '2013'", "whole Unix seconds"]),
    "true": (LINE.replace(": 5,", ": true,"), ["found True", "whole Unix seconds"]),
    "beyond time": (LINE.replace(": 5,", f": {1 << 64},"), ["whole Unix seconds"]),
    "empty": ("\n \n", ["reviews_X.json: empty file"]),
    "too few": (LINE, ["reviews_X.json: 1 reviews", "empty 5-core", "--core"]),
    "a long line": ("x" * (1 << 21), ["line 1", "over 1,024 KiB"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_reviews_are_refused_in_one_line(tmp_path, name):
    content, parts = REFUSED[name]
    files = write(tmp_path, [], [item("B0")], zipped=False)
    files[0].write_text(content)
    with pytest.raises(DataError) as error:
        convert_amazon(*files, tmp_path / "data")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    for part in parts:
        assert part in str(error.value)
    assert not (tmp_path / "data").exists()


def test_files_and_folders_that_do_not_fit(tmp_path):
    reviews, meta = write(tmp_path, log_of(), [item("C0")])
    out = tmp_path / "data"
    with pytest.raises(DataError, match=r"meta_X.*no item of the reviews in 1 lines.*'B0'"):
        convert_amazon(reviews, meta, out, core=3)
    meta.write_bytes(meta.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"meta_X\.json\.gz: not a whole gzip file"):
        convert_amazon(reviews, meta, out, core=3)
    with pytest.raises(DataError, match=r"none.*cannot be read: No such file"):
        convert_amazon(tmp_path / "none", meta, out)
    with pytest.raises(RequestError, match="core: found 0"):
        convert_amazon(reviews, meta, out, core=0)
    with pytest.raises(RequestError, match="rate: found 0"):
        Limits(rate=0)
    out.mkdir(exist_ok=True)
    (out / "sequences.txt").write_text("u 1 2 3")
    with pytest.raises(DataError, match=r"found sequences\.txt, expected a folder without"):
        convert_amazon(reviews, meta, out)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"category": ["Beauty"]}, "'category'"),
        ({"description": ["For dry skin."]}, "'description' as a list"),
        ({"imageURL": ["http://shop.example/1.jpg"]}, "'imageURL'"),
        ({"parent_asin": "B0", "images": []}, "'parent_asin', 'images'"),
    ],
)
def test_the_files_of_other_years_are_refused(tmp_path, fields, said):
    first, last = item("B0"), item("B1", **fields)
    year = "2023" if "images" in fields else "2018"
    for rows in ([last], [first, last]):
        reviews, meta = write(tmp_path, log_of(), rows, strict=True)
        with pytest.raises(DataError) as error:
            convert_amazon(reviews, meta, tmp_path / "data", core=3)
        assert f"line {len(rows)}: found {said}: these look like the files of {year}" in str(
            error.value
        )


def test_everything_dropped_is_refused(tmp_path):
    files = write(tmp_path, log_of(), [item("B0")])
    with pytest.raises(DataError, match=r"0 pictures.*empty 3-core"):
        convert_amazon(*files, tmp_path / "data", core=3, drop_without_picture=True)


def test_the_command(tmp_path, shop, monkeypatch, capsys):
    reviews, meta = write(
        tmp_path, log_of(), [item("B0", shop.put("/0.jpg")), item("B1", shop.address + "/1.jpg")]
    )
    out = tmp_path / "data"

    def run(*more):
        given = ["--reviews", reviews, "--meta", meta, "--out", out, *more]
        monkeypatch.setattr(sys, "argv", ["mgrec", "convert", "amazon2014", *map(str, given)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    code, text, err = run("--core", 3)
    assert code == 0, err
    assert "3 users, 3 items, 9 interactions of 9 reviews" in text
    assert "1  HTTP 404" in text
    assert "warning: items that meta_X.json.gz says nothing of, kept without a text: 1" in err
    code, text, _ = run("--core", 3, "--no-download", "--json")
    found = json.loads(text)
    assert code == 0
    assert (found["counts"]["pictures"], found["counts"]["fetched"]) == (1, 0)
    assert found["broken_pictures"] == {"no file": 1, "no link": 1}
    code, text, err = run("--core", 4)
    assert (code, text, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: reviews_X.json.gz: 9 reviews, but")
    code, _, err = run("--workers", 0)
    assert (code, err) == (2, "error: workers: found 0, expected at least 1\n")
