"""Exposure: who may reach a server, by which names, and which files it shows."""

import os
import socket

import polars as pl
import pytest
from fastapi.testclient import TestClient

from mgrec import Recommender
from mgrec.errors import RequestError
from mgrec.serving.app import application
from mgrec.serving.gallery import picture_file
from mgrec.serving.hosts import allowed, check_exposure
from mgrec.serving.keys import Keys
from mgrec.serving.limits import Limits
from mgrec.serving.logs import to_stderr
from mgrec.serving.metrics import Metrics
from mgrec.serving.server import serve
from mgrec.serving.shelf import Shelf
from tests.serving.test_api import refusal

BEYOND = ["0.0.0.0", "::", "", "192.0.2.7", "[2001:db8::1]", "shop.example", "127.1", "localhost."]


@pytest.mark.parametrize("host", BEYOND)
def test_a_server_beyond_loopback_needs_keys_or_consent(host):
    with pytest.raises(RequestError, match="expected --api-key-file FILE, or --no-keys"):
        check_exposure(host, has_keys=False, no_keys=False)
    check_exposure(host, has_keys=True, no_keys=False)
    check_exposure(host, has_keys=False, no_keys=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_a_server_on_loopback_needs_no_keys(host):
    check_exposure(host, has_keys=False, no_keys=False)


def test_serve_refuses_before_anything_is_loaded(tmp_path):
    with pytest.raises(RequestError, match="could read and change everything"):
        serve([tmp_path / "nowhere"], host="0.0.0.0")
    with pytest.raises(RequestError, match="expected one of them"):
        serve([tmp_path / "nowhere"], keys=Keys((b"x",)), no_keys=True)


@pytest.fixture(scope="module")
def asked(shop):
    """Ask an application that listens at a host, by a name."""
    shelf = Shelf({"run": shop / "run"}, Limits(watch=0), Metrics())

    def ask(host: str, name: str, *names: str) -> int:
        app = application(shelf, Metrics(), Limits(watch=0), hosts=allowed(host, names))
        return TestClient(app).get("/healthz", headers={"host": name}).status_code

    return ask


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("127.0.0.1", "localhost:8000", 200),
        ("127.0.0.1", "127.0.0.1", 200),
        ("127.0.0.1", "[::1]:8000", 200),
        ("127.0.0.1", "LOCALHOST", 200),
        ("127.0.0.1", "192.0.2.7", 400),
        ("127.0.0.1", "evil.example", 400),
        ("127.0.0.1", "localhost.evil.example", 400),
        ("127.0.0.1", "localhost:80@evil.example", 400),
        ("127.0.0.1", "localhost/evil", 400),
        ("127.0.0.1", "", 400),
        ("0.0.0.0", "evil.example", 400),
        ("0.0.0.0", "192.0.2.7:8000", 200),
        ("0.0.0.0", "[2001:db8::1]:8000", 200),
        ("0.0.0.0", "localhost", 200),
        ("0.0.0.0", socket.gethostname(), 200),
        ("0.0.0.0", "<address>", 400),
        ("::", "evil.example", 400),
        ("192.0.2.7", "192.0.2.7", 200),
        ("192.0.2.7", "192.0.2.8", 400),
        ("shop.example", "shop.example", 200),
        ("shop.example", "evil.example", 400),
    ],
)
def test_a_name_that_is_not_the_servers_is_refused(asked, host, name, status):
    assert asked(host, name) == status


def test_named_hosts_are_the_only_ones(asked):
    assert asked("0.0.0.0", "shop.example:443", "shop.example") == 200
    assert asked("0.0.0.0", "192.0.2.7", "shop.example") == 400
    assert asked("0.0.0.0", "a.shop.example", "*.shop.example") == 200
    assert asked("0.0.0.0", "ashop.example", "*.shop.example") == 400
    assert asked("0.0.0.0", "anything.example", "*") == 200
    with pytest.raises(RequestError, match="expected a name"):
        allowed("0.0.0.0", ["<address>"])


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("read 0123456789abcdef#rest", "0123456789abcdef#rest"),
        ("read 0123456789abcdef# # a comment", "0123456789abcdef#"),
        ("read 0123456789abcdef #a comment", "0123456789abcdef"),
        ("\ufeffread 0123456789abcdef\r", "0123456789abcdef"),
        ("  # only a comment\n\n\tread\t0123456789abcdef  ", "0123456789abcdef"),
    ],
)
def test_a_key_is_read_whole(tmp_path, line, key):
    file = tmp_path / "keys"
    file.write_bytes(line.encode())
    keys = Keys.of_file(file)
    keys.check({"x-api-key": key}, writing=False)
    for other in (key[:-1], key + "x", ""):
        with pytest.raises(Exception, match="no known API key"):
            keys.check({"x-api-key": other}, writing=False)


@pytest.mark.parametrize(
    "line",
    [
        b"read #0123456789abcdef",
        b"read 0123456789abcd\xc3\xa9f",
        b"read 0123456789abcdef\x00",
        b"read 0123456789 abcdef",
        b"\xff\xfe",
        b"",
    ],
)
def test_a_line_that_is_no_key_is_refused(tmp_path, line):
    file = tmp_path / "keys"
    file.write_bytes(line)
    with pytest.raises(RequestError, match="expected"):
        Keys.of_file(file)


@pytest.mark.parametrize("level", ["loud", "", "INFO ", "10", "critical"])
def test_an_unknown_log_level_is_refused(level):
    with pytest.raises(RequestError, match="expected one of debug, info, warning, error"):
        to_stderr(level)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_limit_that_is_no_number_is_refused(value):
    with pytest.raises(RequestError, match="watch: found"):
        Limits(watch=value)


def test_a_linked_report_shows_nothing(serving, run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    report = run / "report.html"
    with serving(run) as client:
        report.write_text("<p>mine")
        assert client.get("/report").text == "<p>mine"
        report.unlink()
        for target in (secret, run / "recipe.yaml", "/dev/zero", tmp_path / "nothing"):
            report.symlink_to(target)
            refusal(client.get("/report"), 404)
            report.unlink()
        os.mkfifo(report)
        refusal(client.get("/report"), 404)
        report.unlink()
        report.mkdir()
        refusal(client.get("/report"), 404)


def test_a_linked_folder_of_uploads_shows_nothing(serving, run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    made = Recommender.load(run)
    names = ["a.png", "b.png", "c.png", "d.png"]
    paths = pl.Series([f"/x/uploads/{name}" for name in names] + [None] * 86, dtype=pl.String)
    object.__setattr__(made.catalogue, "items", made.catalogue.items.with_columns(image=paths))
    made.save(run)
    for folder in (outside, run / "uploads"):
        folder.mkdir(exist_ok=True)
        (folder / "a.png").write_bytes(b"a")
        (folder / "b.png").symlink_to(tmp_path / "secret.png")
        os.mkfifo(folder / "c.png")
        (folder / "d.png").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    with serving(run, pictures=False) as client:
        statuses = [client.get(f"/pictures/i0{row}").status_code for row in range(4)]
        assert statuses == [200, 404, 404, 404]
        (run / "uploads").rename(run / "was")
        (run / "uploads").symlink_to(outside)
        assert client.get("/pictures/i00").status_code == 404
        edition = client.shelf["run"].edition
        assert picture_file(edition, 0, [run / "uploads"]) is None
