"""The gate: which artifact a running server takes into use, and how it serves beside another."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

import mgrec
from mgrec.serving.gate import objection
from mgrec.serving.live import Live, NotAccepted
from mgrec.serving.shelf import RETRY
from tests.serving.test_api import newcomers, refusal


@pytest.fixture(scope="module")
def made(shop):
    return mgrec.load(shop / "run")


def measured(made, low: float, value: float, high: float):
    metrics = {"NDCG@10": {"low": low, "value": value, "high": high}}
    return replace(made, facts=made.facts | {"test": {"cases": 1, "metrics": metrics}})


def other(made, folder: Path, **measure: float) -> Path:
    """Save an artifact that recommends no i05, as a fit would, beside the one that is served."""
    new = measured(made, **measure) if measure else made
    new.remove_items(["i05"]).save(folder)
    return folder


def swapped(run: Path, new: Path) -> None:
    run.rename(run.with_name(f"was-{time.monotonic_ns()}"))
    new.rename(run)


def test_a_clearly_worse_artifact_is_refused(made):
    serving = measured(made, 0.30, 0.32, 0.34)
    assert objection(serving, measured(made, 0.35, 0.36, 0.37)) is None
    assert objection(serving, measured(made, 0.27, 0.29, 0.31)) is None  # intervals overlap
    found = str(objection(serving, measured(made, 0.18, 0.20, 0.22)))
    assert "NDCG@10 is clearly worse: found 0.2000 [0.1800, 0.2200], in service 0.3200" in found
    assert "--accept" in found


@pytest.mark.parametrize(
    "test", [{}, {"metrics": {}}, {"metrics": {"NDCG@10": {"value": float("nan")}}}, None]
)
def test_an_artifact_that_was_not_measured_is_refused_beside_one_that_was(made, test):
    unmeasured = replace(made, facts=made.facts | {"test": test})
    serving = measured(made, 0.30, 0.32, 0.34)
    assert "found no measured NDCG@10" in str(objection(serving, unmeasured))
    assert objection(unmeasured, serving) is None
    assert objection(unmeasured, unmeasured) is None


def test_an_artifact_of_other_data_is_refused(made):
    catalogue = made.catalogue
    numbers = catalogue.items.with_columns(
        item_id=catalogue.items["item_id"].str.slice(1).cast(int)
    )
    other_ids = replace(made, catalogue=replace(catalogue, items=numbers))
    assert "found item ids of type Int64, expected String" in str(objection(made, other_ids))
    recipe = made.recipe
    text = recipe.model_copy(
        update={"ids": recipe.ids.model_copy(update={"modalities": ("text",)})}
    )
    found = objection(made, replace(made, recipe=text))
    assert "found the modalities text, expected image, text" in str(found)
    renamed = catalogue.items.with_columns(item_id="x" + catalogue.items["item_id"])
    strangers = replace(made, catalogue=replace(catalogue, items=renamed))
    assert "found 0 of the 90 items in service, expected at least 50%" in str(
        objection(made, strangers)
    )
    few = made.remove_items([f"i{n:02}" for n in range(50)])
    assert "found 40 of the 90 items" in str(objection(made, few))


def test_a_refused_artifact_is_named_and_the_old_one_serves_on(
    serving, run, made, tmp_path, caplog
):
    measured(made, 0.30, 0.32, 0.34).save(run)
    worse = other(made, tmp_path / "worse", low=0.18, value=0.20, high=0.22)
    good = other(made, tmp_path / "good", low=0.31, value=0.33, high=0.35)
    asked = {"history": ["i00"], "k": 90}

    def listed(client) -> set[str]:
        found = client.post("/v1/recommend", json=asked)
        return {item["item_id"] for item in found.json()["items"]}

    def wait(client, refused: bool) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if (client.get("/v1/runs").json()[0]["refused"] is not None) == refused:
                return
            time.sleep(0.02)
        pytest.fail("the server did not look")

    with serving(run, watch=0.02) as client:
        assert client.get("/v1/runs").json()[0]["refused"] is None
        swapped(run, worse)
        wait(client, True)
        time.sleep(0.5)
        assert "clearly worse" in client.get("/v1/runs").json()[0]["refused"]
        assert client.get("/readyz").status_code == 200
        assert "i05" in listed(client)
        for method, path, body in (
            ("POST", "items", newcomers(made, "new-1")),
            ("DELETE", "items", {"item_ids": ["i01"]}),
            ("POST", "rollback", {}),
            ("POST", "reload", {}),
        ):
            found = client.request(method, f"/v1/{path}", json=body)
            assert "contains an artifact that is not in service" in refusal(found, 409)
        assert "i05" in listed(client)
        assert "i01" in listed(client)
        assert not (run / "live" / "journal.json").exists()
        swapped(run, good)
        wait(client, False)
        until = time.monotonic() + 20
        while "i05" in listed(client) and time.monotonic() < until:
            time.sleep(0.02)
        assert "i05" not in listed(client)
        changed = client.request("DELETE", "/v1/items", json={"item_ids": ["i01"]})
        assert changed.status_code == 200
        assert not {"i01", "i05"} & listed(client)
    failed = [one for one in caplog.records if one.getMessage() == "reload failed"]
    assert len([one for one in failed if "clearly worse" in one.facts["error"]]) == 1


def test_a_restart_serves_what_stands_in_the_folder(serving, run, made, tmp_path):
    measured(made, 0.30, 0.32, 0.34).save(run)
    swapped(run, other(made, tmp_path / "worse", low=0.18, value=0.20, high=0.22))
    with serving(run) as client:
        found = client.get("/v1/runs").json()[0]
        assert (found["items"], found["refused"]) == (89, None)


def test_a_live_artifact_without_a_gate_takes_every_artifact(run, made, tmp_path):
    measured(made, 0.30, 0.32, 0.34).save(run)
    gated, free = Live.open(run, gate=objection), Live.open(run)
    swapped(run, other(made, tmp_path / "worse", low=0.18, value=0.20, high=0.22))
    for _ in range(2):
        with pytest.raises(NotAccepted, match="clearly worse"):
            gated.refresh()
    assert free.refresh()
    assert gated.recommender.catalogue.listed.all()


def test_a_refusal_is_over_when_the_old_artifact_returns(run, made, tmp_path):
    measured(made, 0.30, 0.32, 0.34).save(run)
    live = Live.open(run, gate=objection)
    kept = Path(shutil.copytree(run, tmp_path / "kept"))
    swapped(run, other(made, tmp_path / "worse", low=0.18, value=0.20, high=0.22))
    with pytest.raises(NotAccepted):
        live.remove_items(["i01"])
    assert live.refused is not None
    swapped(run, kept)
    assert live.remove_items(["i01"]).removed == 1
    assert live.refused is None


def broken(run: Path, folder: Path) -> Path:
    """Copy an artifact, as one that this mgrec cannot read: same names, other shapes."""
    import hashlib

    shutil.copytree(run, folder)
    file = folder / "manifest.json"
    values = json.loads(file.read_text())
    values.pop("checksum")
    values["recipe"]["model"]["hidden"] *= 2
    sealed = json.dumps(values, sort_keys=True).encode()
    values["checksum"] = hashlib.sha256(sealed).hexdigest()
    file.write_text(json.dumps(values))
    return folder


def test_an_artifact_that_cannot_be_read_is_logged_once_and_a_later_good_one_is_taken(
    serving, run, made, tmp_path, caplog
):
    bad, good = broken(run, tmp_path / "bad"), other(made, tmp_path / "good")
    empty = tmp_path / "empty"
    empty.mkdir()
    with serving(run, watch=0.02) as client:

        def wait_for(check) -> None:
            until = time.monotonic() + 20
            while not check() and time.monotonic() < until:
                time.sleep(0.02)
            assert check()

        def lines() -> list[str]:
            failed = [one for one in caplog.records if one.getMessage() == "reload failed"]
            errors = [one.facts["error"] for one in failed]
            return [error for error in errors if "found nothing" not in error]  # between renames

        for number, new in enumerate((bad, empty), 1):
            swapped(run, new)
            wait_for(lambda number=number: len(lines()) == number)
            time.sleep(0.02 * (2 * RETRY))
            assert len(lines()) == number
            assert client.get("/readyz").status_code == 200
            found = client.request("DELETE", "/v1/items", json={"item_ids": ["i01"]})
            assert found.status_code >= 500
            assert client.post("/v1/recommend", json={"history": ["i00"]}).status_code == 200
        swapped(run, good)
        wait_for(lambda: client.get("/v1/runs").json()[0]["items"] == 89)
