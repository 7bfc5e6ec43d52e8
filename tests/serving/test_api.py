"""The API: what the library answers, over HTTP, and what is refused, in one line."""

import base64
import json
import shutil
import threading
from dataclasses import replace
from datetime import date
from io import BytesIO
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest

import mgrec
from mgrec.requests import Request
from mgrec.serving.edition import Edition
from mgrec.serving.keys import Keys


@pytest.fixture(scope="module")
def made(shop):
    return mgrec.load(shop / "run")


def npy(rows: np.ndarray) -> str:
    stream = BytesIO()
    np.save(stream, rows)
    return base64.b64encode(stream.getvalue()).decode()


def newcomers(made, *names: str) -> dict:
    """Return a request that adds items with the vectors of the first items there are."""
    rng = np.random.default_rng(0)
    dims = {name: len(scaler.mean) for name, scaler in made.catalogue.scalers.items()}
    vectors = {n: npy(rng.normal(size=(len(names), d)).astype("f4")) for n, d in dims.items()}
    items = [{"item_id": name, "title": f"New {name}", "price": 1.5} for name in names]
    return {"items": items, "embeddings": vectors}


def refusal(answer, status: int) -> str:
    """Return the one line of an error."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "request_id"}
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "\n" not in body["error"]
    assert body["error"]
    return body["error"]


@pytest.mark.parametrize(
    "asked",
    [
        {"history": ["i00", "i05"], "k": 7},
        {"user": "u003", "k": 5, "exclude_seen": True},
        {"history": ["i00"], "only": ["i01", "i02", "nobody's"], "k": 9},
        {"history": ["i00"], "where": "price < 20", "exclude": ["i01"]},
        {"history": ["i00"], "max_per": {"season": 1}},
        {"history": [], "k": 3},
        {"history": ["i07"], "beams": 30},
    ],
)
def test_an_answer_is_the_librarys(client, made, asked):
    found = client.post("/v1/recommend", json=asked).json()
    expected = made.recommend_many([Request(**asked)])[0]
    assert [item["item_id"] for item in found["items"]] == expected.item_ids
    np.testing.assert_allclose(
        [i["score"] for i in found["items"]], [i.score for i in expected], atol=1e-5
    )
    assert found["reason"] == expected.reason
    assert found["generated"] == expected.generated
    assert (found["run"], found["version"]) == ("run", 0)
    assert all(item["title"] for item in found["items"])


def test_requests_that_come_together_are_answered_as_they_would_be_alone(client):
    asked = [{"history": [f"i{n:02}", "i05"], "k": 3 + n % 5} for n in range(40)]
    asked[7] = {"history": ["i00"], "where": "no such attribute"}
    alone = [client.post("/v1/recommend", json=each) for each in asked]
    together = [None] * len(asked)

    def ask(place: int) -> None:
        together[place] = client.post("/v1/recommend", json=asked[place])

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        assert one.status_code == other.status_code
        if one.status_code == 200:
            items = [[i["item_id"] for i in each.json()["items"]] for each in (one, other)]
            assert items[0] == items[1]
    assert [answer.status_code for answer in together].count(422) == 1
    figures = client.get("/metrics").text
    batches = [line for line in figures.splitlines() if line.startswith("mgrec_batch_requests_")]
    count = next(float(line.split()[-1]) for line in batches if "_count" in line)
    total = next(float(line.split()[-1]) for line in batches if "_sum" in line)
    assert total > count  # some came in one batch


def test_similar_and_explain_are_the_librarys(client, made):
    found = client.post("/v1/similar", json={"item_id": "i07", "k": 4, "by": "text"}).json()
    assert [i["item_id"] for i in found["items"]] == made.similar("i07", 4, by="text").item_ids
    asked = {"item_id": "i07", "history": ["i00", "i05"]}
    found = client.post("/v1/explain", json=asked).json()
    expected = made.explain("i07", ["i00", "i05"])
    assert found["words"] == expected.words()
    assert found["parts"]["score"] == pytest.approx(expected.score, abs=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "line"),
    [
        ("recommend", {}, 422, "expected either a history or a user, and not both"),
        ("recommend", {"history": [], "k": 0}, 422, "k: input should be greater than or equal"),
        ("recommend", {"history": [], "k": 10**9}, 422, "k: input should be less than or equal"),
        ("recommend", {"history": ["x"] * 1001}, 422, "history: list should have at most 1000"),
        ("recommend", {"history": [1.5]}, 422, "history.0"),
        ("recommend", {"history": [True]}, 422, "history.0"),
        ("recommend", {"history": "i00"}, 422, "history: input should be a valid list"),
        ("recommend", {"history": [], "kk": 3}, 422, "kk: extra inputs are not permitted"),
        ("recommend", {"history": [], "where": "price <"}, 422, ""),
        ("recommend", {"history": [], "where": "x" * 1001}, 422, "where: string should have"),
        ("recommend", {"history": [], "run": "other"}, 404, "run 'other': unknown"),
        ("recommend", [], 422, "body: input should be"),
        ("similar", {"item_id": "nobody's"}, 404, "not in the catalogue"),
        ("similar", {"item_id": "i00", "by": "smell"}, 422, "unknown modality 'smell'"),
        ("explain", {"item_id": "nobody's", "history": ["i00"]}, 404, "not in the catalogue"),
        ("explain", {"item_id": "i00"}, 422, "expected either a history or a user"),
        ("items", {"items": []}, 422, "items: list should have at least 1 item"),
        ("items", {"items": [{"item_id": "n", "deep": {"a": 1}}]}, 422, "items.0.deep"),
        ("items", {"items": [{"item_id": "n", "image": "../x.png"}]}, 422, "expected the picture"),
        ("items", {"items": [{"item_id": "n", "picture": "!"}]}, 422, "items.0.picture"),
        ("rollback", {}, 422, "nothing to roll back"),
    ],
)
def test_what_fits_no_answer_is_refused_in_one_line(client, path, body, status, line):
    assert line in refusal(client.post(f"/v1/{path}", json=body), status)


def test_unknown_addresses_and_methods_are_refused_in_one_line(client):
    assert refusal(client.get("/v1/nothing"), 404) == "not found"
    assert refusal(client.get("/v1/recommend"), 405) == "method not allowed"
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_items_come_and_go_and_every_answer_names_its_version(serving, run, made):
    asked = {"history": ["i00", "new-1"], "k": 90}
    with serving(run) as client:
        before = client.post("/v1/recommend", json=asked).json()
        added = client.post("/v1/items", json=newcomers(made, "new-1", "new-2")).json()
        assert (added["version"], added["items"]) == (1, made.catalogue.n_items + 2)
        assert added["change"]["added"] == 2
        after = client.post("/v1/recommend", json=asked | {"only": ["new-1", "new-2"]}).json()
        assert after["version"] == 1
        assert {item["item_id"] for item in after["items"]} == {"new-1", "new-2"}
        assert {item["title"] for item in after["items"]} == {"New new-1", "New new-2"}
        again = client.post("/v1/items", json=newcomers(made, "new-1"))
        assert "the catalogue has already" in refusal(again, 422)
        gone = client.request("DELETE", "/v1/items", json={"item_ids": ["new-1", "i00"]}).json()
        assert gone["version"] == 2
        for limits in (
            {},
            {"only": ["new-1", "new-2"]},
            {"where": "price > 0"},
            {"max_per": {"season": 9}},
        ):
            found = client.post("/v1/recommend", json=asked | limits).json()
            assert not {"new-1", "i00"} & {item["item_id"] for item in found["items"]}
            assert found["version"] == 2
        near = client.post("/v1/similar", json={"item_id": "i05", "k": 100}).json()
        assert not {"new-1", "i00"} & {item["item_id"] for item in near["items"]}
        assert client.post("/v1/rollback", json={}).json()["version"] == 3
        assert client.post("/v1/rollback", json={}).json()["version"] == 4
        back = client.post("/v1/recommend", json=asked).json()
        assert [i["item_id"] for i in back["items"]] == [i["item_id"] for i in before["items"]]
        assert 'mgrec_catalogue_items{run="run"} 90.0' in client.get("/metrics").text


def test_a_picture_comes_with_its_item_and_is_shown(serving, run, made, shop):
    picture = next((shop / "data" / "images").iterdir()).read_bytes()
    body = newcomers(made, "new-1")
    body["items"][0]["picture"] = base64.b64encode(picture).decode()
    with serving(run, pictures=False) as client:
        assert client.post("/v1/items", json=body).status_code == 200
        shown = client.get("/pictures/new-1")
        assert shown.content == picture
        assert shown.headers["content-type"] == "image/jpeg"
        assert shown.headers["x-content-type-options"] == "nosniff"
        refusal(client.get("/pictures/i00"), 404)  # nobody named a folder of pictures


def test_items_are_added_under_the_column_names_of_the_fit(serving, run, made):
    named = replace(made, catalogue=replace(made.catalogue, columns={"item_id": "article_id"}))
    named.save(run)
    with serving(run) as client:
        for name in ("article_id", "item_id"):
            body = newcomers(made, "x")
            body["items"] = [{name: f"new by {name}", "title": "New"}]
            assert client.post("/v1/items", json=body).status_code == 200
        asked = {"history": ["i00"], "only": ["new by article_id", "new by item_id"]}
        assert len(client.post("/v1/recommend", json=asked).json()["items"]) == 2
        for item, said in (
            ({"title": "none"}, "items.0.item_id: field required"),
            ({"article_id": "a", "item_id": "b"}, "found 'item_id' and 'article_id'"),
            ({"article_id": True}, "expected a whole number, or text"),
            ({"article_id": "x" * 9999}, "expected a whole number, or text"),
        ):
            body["items"] = [item]
            assert said in refusal(client.post("/v1/items", json=body), 422)


def test_an_id_may_hold_whatever_text_there_is(serving, run, made, shop):
    picture = next((shop / "data" / "images").iterdir()).read_bytes()
    names = [
        "a/b c?d#e&=",
        "<script>alert(1)</script>\"'",
        "emoji \U0001f600",
        "  x",
    ]
    body = newcomers(made, *names)
    for item in body["items"]:
        item |= {"picture": base64.b64encode(picture).decode(), "title": item["item_id"] * 3}
    body["items"][-1] |= {"title": " \n "}  # which is no title
    with serving(run) as client:
        assert client.post("/v1/items", json=body).status_code == 200
        for name in names:
            asked = {"history": ["i00"], "only": [name]}
            found = client.post("/v1/recommend", json=asked).json()["items"]
            assert [item["item_id"] for item in found] == [name]
            assert bool(found[0]["title"]) == (name != names[-1])
            shown = client.get("/pictures/" + quote(name, safe=""))
            assert shown.content == picture, name
            for path in ("/", "/explain"):
                page = client.get(path, params={"h": ["i00", name], "item": name})
                assert page.status_code == 200
                assert "<script>alert" not in page.text


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"not an array", "expected a .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "expected a .npy file"),
        (np.zeros((2, 32), "f4"), "one for each of 1"),
        (np.zeros((1, 5), "f4"), "found 5 dimensions"),
        (np.zeros((1, 32), "i4"), "expected floats"),
        (np.full((1, 32), np.inf, "f4"), "row 1: found inf, expected finite numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(serving, run, made, data, line):
    body = newcomers(made, "new-1")
    coded = npy(data) if isinstance(data, np.ndarray) else base64.b64encode(data).decode()
    body["embeddings"]["text"] = coded
    with serving(run) as client:
        assert line in refusal(client.post("/v1/items", json=body), 422)
        assert client.get("/readyz").json()["versions"] == {"run": 0}


def test_an_array_whose_header_promises_a_terabyte_takes_no_memory(serving, run, made):
    stream = BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (1, 1 << 40)}
    np.lib.format.write_array_header_1_0(stream, header)
    body = newcomers(made, "new-1")
    body["embeddings"]["text"] = base64.b64encode(stream.getvalue()).decode()
    with serving(run) as client:
        assert "found 0 bytes of values" in refusal(client.post("/v1/items", json=body), 422)


def test_a_run_that_another_process_changed_is_taken_into_use(serving, run):
    from mgrec.serving.live import Live

    with serving(run) as client:
        Live.open(run).remove_items(["i00"])
        assert client.post("/v1/reload", json={}).json()["version"] == 1
        asked = {"history": ["i05"], "only": ["i00", "i01"]}
        found = client.post("/v1/recommend", json=asked).json()
        assert [item["item_id"] for item in found["items"]] == ["i01"]
    with serving(run, watch=0.05) as client:
        Live.open(run).rollback()
        seen = threading.Event()
        for _ in range(200):
            if client.get("/readyz").json()["versions"] == {"run": 2}:
                break
            seen.wait(0.05)
        assert client.get("/readyz").json()["versions"] == {"run": 2}


def test_keys_open_reading_and_writing(serving, run, tmp_path):
    reads, writes = "reader-key-0123456789", "writer-key-0123456789"
    file = tmp_path / "keys"
    file.write_text(f"# who may what\nread {reads}\nwrite {writes}  # the importer\n")
    asked, change = {"history": ["i00"]}, {"item_ids": ["i00"]}
    with serving(run, keys=Keys.of_file(file)) as client:

        def status(method: str, path: str, body: dict | None, **headers: str) -> int:
            return client.request(method, path, json=body, headers=headers).status_code

        assert status("POST", "/v1/recommend", asked) == 401
        assert status("GET", "/", None) == 401
        assert status("GET", "/pictures/i00", None) == 401
        assert status("POST", "/v1/recommend", asked, authorization=f"Bearer {reads}x") == 401
        assert status("POST", "/v1/recommend", asked, authorization="Basic !!") == 401
        assert status("POST", "/v1/recommend", asked, authorization=f"Bearer {reads}") == 200
        assert status("POST", "/v1/recommend", asked, **{"x-api-key": writes}) == 200
        basic = base64.b64encode(f"me:{reads}".encode()).decode()
        assert status("GET", "/", None, authorization=f"Basic {basic}") == 200
        assert status("DELETE", "/v1/items", change, authorization=f"Bearer {reads}") == 403
        assert status("DELETE", "/v1/items", change, authorization=f"Bearer {writes}") == 200
        assert client.get("/healthz").status_code == 200
        assert client.head("/healthz").status_code == 200
        assert client.get("/openapi.json").status_code == 401
        huge = {"content-length": "99999999999"}  # a stranger's body is not even looked at
        assert client.post("/v1/items", content=b"{}", headers=huge).status_code == 401


def test_two_runs_stand_beside_each_other(serving, run, shop):
    with serving(shop / "run", run.rename(run.with_name("other"))) as client:
        names = [found["run"] for found in client.get("/v1/runs").json()]
        assert names == ["run", "other"]
        asked = {"history": ["i00"], "run": "other"}
        assert client.post("/v1/recommend", json=asked).json()["run"] == "other"


def test_logs_are_json_lines_with_the_requests_id(client, caplog):
    from mgrec.serving.logs import JsonLines

    with caplog.at_level("INFO", logger="mgrec.serving"):
        client.post("/v1/recommend", json={"history": []}, headers={"x-request-id": "mine-1"})
        client.post("/v1/recommend", json={"history": []}, headers={"x-request-id": "a b\tc"})
    lines = [record for record in caplog.records if record.getMessage() == "request"]
    facts = [json.loads(JsonLines().format(record)) for record in lines]
    assert [line["status"] for line in facts] == [200, 200]
    assert facts[0]["path"] == "/v1/recommend"
    assert (facts[0]["run"], facts[0]["version"]) == ("run", 0)
    assert facts[0]["ms"] > 0


def test_openapi_shows_examples_and_the_shape_of_errors(client):
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for name in ("RecommendRequest", "SimilarRequest", "ExplainRequest", "Error"):
        assert schemas[name]["examples"]
    for example in schemas["RecommendRequest"]["examples"]:
        assert client.post("/v1/recommend", json=example).status_code == 200
    added = document["paths"]["/v1/items"]["post"]["requestBody"]["content"]["application/json"]
    assert added["schema"]["examples"]
    assert "picture" in added["schema"]["properties"]["items"]["items"]["properties"]
    answers = document["paths"]["/v1/recommend"]["post"]["responses"]
    assert answers["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")


def test_hints_are_filters_that_can_be_asked(shop):
    made = mgrec.load(shop / "run")
    items = made.catalogue.items.with_columns(
        weight=pl.lit(float("nan")), price=pl.col("price") * 1e6
    )
    made = made.over(replace(made.catalogue, items=items))
    edition = Edition("run", 0, made)
    assert edition.hints
    for hint in edition.hints:
        assert made.recommend(history=["i00"], k=1, where=hint).items


@pytest.fixture(scope="module")
def dated(made, tmp_path_factory):
    """The run with columns of dates, whole numbers, and true and false."""
    columns = {"released": date(2024, 5, 17), "stock": 5, "on_sale": True}
    items = made.catalogue.items.with_columns(**{n: pl.lit(v) for n, v in columns.items()})
    path = tmp_path_factory.mktemp("dated") / "run"
    made.over(replace(made.catalogue, items=items)).save(path)
    return path


def test_new_values_of_another_type_are_cast_without_loss_or_refused(serving, dated, tmp_path):
    run = shutil.copytree(dated, tmp_path / "run")
    ask = {"history": ["i00"], "k": 1}
    with serving(run) as client:
        for column, value in (
            *(("released", 1_715_900_000), ("released", "soon"), ("stock", 9.99), ("stock", True)),
            *(("on_sale", 0.5), ("on_sale", "no"), ("stock", 10**30), ("stock", [1])),
        ):
            item = {"item_id": "new-1", column: value}
            line = refusal(client.post("/v1/items", json={"items": [item]}), 422)
            assert column in line
        two = [{"item_id": "a", "price": 1}, {"item_id": "b", "price": "1"}]
        line = refusal(client.post("/v1/items", json={"items": two}), 422)
        assert line == "items.1.price: found '1', expected a whole number, as in the items before"
        for place, (column, value, where) in enumerate(
            (
                ("released", "2024-06-01", "released > '2024-05-17'"),
                ("stock", 9.0, "stock == 9"),
                ("on_sale", 0, "not on_sale"),
            )
        ):
            item = {"item_id": f"new-{place}", column: value}
            assert client.post("/v1/items", json={"items": [item]}).status_code == 200
            found = client.post("/v1/recommend", json=ask | {"where": where}).json()
            assert [item["item_id"] for item in found["items"]] == [f"new-{place}"]


@pytest.mark.parametrize(
    "fields",
    [
        *({"user": True}, {"user": ""}, {"user": 3.5}, {"user": ["u003"]}, {"user": 1e300}),
        *({"history": [None]}, {"history": [["i00"]]}, {"history": "i00"}, {"history": [False]}),
        *({"user": "u003", "k": True}, {"user": "u003", "k": "3"}, {"user": "u003", "k": 2.5}),
        *({"user": "u003", "exclude_seen": "no"}, {"user": "u003", "max_per": {"season": True}}),
        *({"user": "u003", "exclude": [{}]}, {"user": "u003", "only": "i01"}),
    ],
    ids=str,
)
def test_what_can_be_no_id_or_number_is_refused(client, fields):
    refusal(client.post("/v1/recommend", json=fields), 422)


def test_whole_numbers_may_be_written_as_decimals_and_null_is_nothing(client):
    asked = {"user": "u003", "k": 3.0, "exclude": None, "max_per": None, "only": None}
    found = client.post("/v1/recommend", json=asked).json()
    assert (
        found["items"]
        == client.post("/v1/recommend", json={"user": "u003", "k": 3}).json()["items"]
    )
    assert "3 is unknown" in client.post("/v1/recommend", json={"user": 3.0}).json()["reason"]
