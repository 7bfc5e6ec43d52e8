"""The study of a comparison's folder: what it says, in its three forms, and what it refuses."""

import hashlib
import json
import re
import sys

import numpy as np
import pytest

from mgrec import Dataset
from mgrec.data.features import Codes
from mgrec.errors import ArtifactError, RequestError
from mgrec.study.compare import compare
from mgrec.study.diagnosis_page import page
from mgrec.study.diagnostics import diagnose
from mgrec.study.finished import finished
from mgrec.study.markdown import markdown
from mgrec.study.publishing import publish_study
from mgrec.study.relations import donor
from mgrec.study.report import render
from tests.conftest import TINY
from tests.study.test_report import Page

FAST = [*TINY, "training.epochs=1", "alignment.epochs=1"]
PLAIN = [*FAST, "model.softmax=plain"]


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """A comparison's folder: all strategies, plain softmax, early fusion with two seeds."""
    out = tmp_path_factory.mktemp("study") / "out"
    rows = ("text*2", "image*2", "early*2", "late", "late++")
    compare(
        data,
        out,
        rows,
        seeds=1,
        settings=PLAIN,
        baselines=("popularity",),
        sweeps=["late: model.dim=24"],
    )
    return out


@pytest.fixture(scope="module")
def studied(compared):
    return diagnose(compared, users=50)


def hashes(folder):
    return {
        file: hashlib.sha256(file.read_bytes()).digest()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith("study.")
    }


def test_every_analysis_has_the_rows_that_it_is_of(studied):
    assert list(studied.dominances) == ["early"]
    assert len(studied.dominances["early"]) == 2
    assert 0 < studied.kin["early"] <= 1
    pairs = {(one.row, one.other) for one in studied.overlaps}
    rows = ("text", "image", "early", "late", "late++")
    assert pairs >= {(row, other) for row in rows for other in ("text", "image") if row != other}
    assert {(row, row) for row in ("text", "image", "early")} <= pairs
    assert ("late", "late") not in pairs
    assert list(studied.closer) == ["early", "late", "late++"]
    assert list(studied.correspondences) == list(rows)
    assert [row for row, one in studied.correspondences.items() if one.right] == ["late", "late++"]
    assert list(studied.aligned) == ["late++"]
    assert {one.block for one in studied.maps} == {"text", "image", "fused"}
    assert set(studied.company.shown) == {"text", "image"}
    assert studied.users == 50
    assert studied.absent == {}


def test_the_planted_worlds_early_codes_follow_both(studied):
    for one in studied.dominances["early"]:
        assert min(one.levels[0].own.values()) > 0.1
        assert abs(one.between) < 0.1  # topic and look are drawn independently


def test_each_section_asks_and_says_what_is_seen(studied):
    summary = page(studied)
    assert len(summary.sections) == 6
    for section in summary.sections:
        assert section.lead.endswith(("?", "."))
        assert section.seen.endswith(".")
    text, shown = markdown(summary), Page(render(summary)).text
    for section in summary.sections:
        for words in (section.title, section.lead, section.seen):
            assert " ".join(words.split()) in " ".join(text.split())
            assert " ".join(words.split()) in shown
        for sheet in section.sheets:
            for row in sheet.rows:
                assert "| " + " | ".join(row) + " |" in text
    assert len(re.findall("<circle", render(summary))) == sum(len(m.code) for m in studied.maps)


def test_the_folder_is_left_as_it_was_and_gets_three_files(compared, studied):
    before = hashes(compared)
    publish_study(studied, compared)
    assert hashes(compared) == before
    kept = json.loads((compared / "study.json").read_text())
    first = kept["dominances"]["early"][0]["levels"][0]["own"]
    assert first == dict(studied.dominances["early"][0].levels[0].own)
    assert kept["company"]["pivot"] == studied.items["item_id"][studied.company.pivot]
    assert "Which modality fused codes follow" in (compared / "study.md").read_text()
    raw = (compared / "study.html").read_text()
    assert "http:" not in raw
    assert kept["verdict"] in Page(raw).text


def test_the_same_study_twice_says_the_same(compared, studied):
    again = diagnose(compared, users=50)
    assert markdown(page(again)) == markdown(page(studied))


def test_a_fusion_is_compared_with_codes_made_as_its_own_were(compared):
    runs = finished(compared)
    assert all(run.entry.point is None for run in runs)  # sweeps are left out
    early = [run for run in runs if run.name == "early"]
    assert [run.seed for run in early] == [0, 1]
    found = donor(runs, early[1], "image")
    assert (found.name, found.seed) == ("image", 1)
    others = [run for run in runs if run.name in ("late", "early")]
    assert donor(others, early[0], "text").name == "late"
    assert donor(others, early[1], "text") is None  # late has one seed


def test_what_does_not_apply_is_said(world, tmp_path):
    rng = np.random.default_rng(0)
    codes = {
        name: Codes(
            rng.integers(0, 8, (world.n_items, 2)).astype(np.int32), np.ones(90, bool), (8, 8)
        )
        for name in ("text", "image")
    }
    data = Dataset.from_frames(world.items.select("item_id"), world.interactions, codes=codes)
    compare(data, tmp_path, ("text", "late"), seeds=1, settings=FAST, baselines=())
    found = diagnose(tmp_path, users=20)
    assert "legal softmax" in found.absent["correspondence"]["late"]
    assert found.absent["dominance"] == {"early": "no run of early fusion is among the models"}
    assert found.absent["alignment"] == {"late++": "no recipe that aligns is among the models"}
    assert set(found.absent["map"]) == {"text", "image"}
    text = markdown(page(found))
    assert "| late | legal softmax" in text
    assert "no run of early fusion" in text
    assert "ready-made codes" in text
    # Without a title an item goes by its id.
    assert f"- {world.items['item_id'][found.company.pivot]}" in text


def test_items_and_attributes_are_chosen_by_name(compared, data):
    item = str(data.items["item_id"][7])
    found = diagnose(compared, users=5, item=item, attribute="season")
    assert found.company.pivot == 7
    assert {one.by for one in found.maps} == {"season"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": 0}, "users: expected at least 1"),
        ({"item": "nobody"}, "item 'nobody': not in the catalogue"),
        ({"attribute": "seasons"}, "Did you mean 'season'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(compared, options, message):
    with pytest.raises(RequestError, match=re.escape(message)) as refused:
        diagnose(compared, **options)
    assert "\n" not in str(refused.value)


def test_another_folder_or_a_damaged_one_is_named(tmp_path, data):
    with pytest.raises(RequestError, match=r"no grid.json"):
        diagnose(tmp_path)
    compare(data, tmp_path, ("text",), seeds=1, settings=FAST, baselines=())
    (tmp_path / "runs" / "text-0" / "ranks.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"ranks.parquet: corrupt"):
        diagnose(tmp_path, users=5)
    (tmp_path / "runs" / "text-0" / "outcome.json").unlink()
    with pytest.raises(RequestError, match="no model is trained yet"):
        diagnose(tmp_path)


def test_the_command_prints_the_study_and_writes_it(compared, monkeypatch, capsys):
    from mgrec import cli

    monkeypatch.setattr(sys, "argv", ["mgrec", "study", str(compared), "--users", "5"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    text = capsys.readouterr().out
    assert "## Which modality fused codes follow" in text
    assert f"Report: {compared / 'study.html'}" in text
    assert "mgrec study" in (compared / "study.md").read_text()


def test_alignment_while_it_trains_has_no_stage_to_look_at(data, tmp_path):
    settings = [setting for setting in PLAIN if not setting.startswith("alignment.")]
    settings.append("alignment.epochs=0")
    compare(data, tmp_path, ("late++-auxiliary",), seeds=1, settings=settings, baselines=())
    found = diagnose(tmp_path, users=20)
    assert found.aligned == {}
    assert "no stage before that" in found.absent["alignment"]["late++-auxiliary"]
