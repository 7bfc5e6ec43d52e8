"""Every page where a part of it is missing: no empty table, and no sentence about one."""

import re
import shutil

import numpy as np
import polars as pl
import pytest

from mgrec import Dataset, Recommender
from mgrec.configs import SplitConfig
from mgrec.study import check_page, cold_page
from mgrec.study.check import check
from mgrec.study.cold import cold_start
from mgrec.study.compare import compare
from mgrec.study.diagnosis_page import page
from mgrec.study.diagnostics import diagnose
from mgrec.study.markdown import markdown
from mgrec.study.summary import report_run, summary
from tests.conftest import TINY

FAST = [*TINY, "training.epochs=1", "alignment.epochs=1"]
NOTHING = re.compile(r"\bnan\b|\bNone\b|\{\}|\binf\b|\(\)|\[\]|: \.|, \.|  \.")


def faults(text: str) -> list[str]:
    """Return what a page in Markdown must not have: empty tables, rows, columns and values."""
    found = [match.group() for match in NOTHING.finditer(text)]
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        head, _, *rows = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in table.strip().splitlines()
        ]
        if not rows:
            found.append(f"table without rows: {head}")
        found += [
            f"row without figures: {row}" for row in rows if len(row) > 1 and not any(row[1:])
        ]
        for name, *cells in zip(head, *rows, strict=True):
            if not any(cells):
                found.append(f"column without figures: {name}")
    return found


@pytest.fixture(scope="module")
def bare(world):
    """The world with codes alone: no vectors, texts or pictures."""
    rng = np.random.default_rng(0)
    ids = world.items["item_id"]
    codes = {name: (ids.to_list(), rng.integers(0, 8, (len(ids), 2))) for name in ("text", "image")}
    return Dataset.from_frames(pl.DataFrame({"item_id": ids}), world.interactions, codes=codes)


@pytest.mark.parametrize(
    ("kind", "rows", "missing"),
    [
        ("data", ("text",), "whose predictions models repeat"),
        ("data", ("text*2",), "which modality fused codes follow"),
        ("data", ("text", "late"), "what alignment teaches"),
        ("data", ("early", "text"), "no run with codes of image alone"),
        ("bare", ("late++", "image"), "ready-made codes, without vectors"),
    ],
)
def test_a_study_without_some_models_says_what_is_missing(
    kind, rows, missing, data, bare, tmp_path
):
    compare(
        {"data": data, "bare": bare}[kind], tmp_path, rows, seeds=1, settings=FAST, baselines=()
    )
    assert faults((tmp_path / "report.md").read_text()) == []
    text = markdown(page(diagnose(tmp_path, users=30)))
    assert faults(text) == []
    assert missing in text.split("## What is missing")[1]


def test_overlaps_have_a_column_for_every_row_compared_with(data, tmp_path):
    compare(data, tmp_path, ("text", "late"), seeds=1, settings=FAST, baselines=())
    text = markdown(page(diagnose(tmp_path, users=30)))
    table = text.split("### Of the row's hits")[1].split("###")[0]
    assert "|  | text |" in table
    assert "another seed" not in table
    assert re.search(r"\| late \| \d+\.\d%", table)
    assert re.search(r"how often the column hits at all: text \d+\.\d%", table)


def report_of(made: Recommender) -> str:
    parts = made.split()
    return markdown(summary(made, parts, (), {}, "Words."))


def test_a_run_page_without_tests_pictures_vectors_or_attributes_has_no_empty_part(
    data, bare, tiny, tmp_path
):
    for given, settings in (
        (bare, ("late++", "split.kind=none")),
        (bare, ("image",)),
        (data, ("text", "training.epochs=1")),
        (one_each(), ("text", "quantiser.size=64")),
    ):
        made = Recommender.fit(given, tiny(*settings), out=tmp_path / "run")
        report_run(made, tmp_path / "run" / "report.html")
        assert faults(report_of(made)) == []
        text = (tmp_path / "run" / "report.html").read_text()
        words = re.sub(r"<(script|style|pre).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
        assert not re.search(r"\bnan\b|\bNone\b|\{\}", words)
        shutil.rmtree(tmp_path / "run")


def one_each() -> Dataset:
    """Twenty items whose texts differ in everything, so that every prefix holds one."""
    rng = np.random.default_rng(0)
    ids = [f"i{n}" for n in range(20)]
    log = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(30), 4),
            "item_id": [ids[n] for n in rng.integers(0, 20, 120)],
        }
    )
    vectors = np.eye(20, dtype=np.float32)
    return Dataset.from_frames(
        pl.DataFrame({"item_id": ids}), log, embeddings={"text": (ids, vectors)}
    )


def test_a_cold_report_of_one_modality_has_no_empty_part(data, bare, tiny, tmp_path):
    for name, given in (("data", data), ("bare", bare)):
        found = cold_start(given, tiny("text", "training.epochs=1"), tmp_path / name, share=0.1)
        cold_page.publish(found, tmp_path / name)
        assert faults((tmp_path / name / "report.md").read_text()) == []


def test_a_check_of_little_data_has_no_empty_part(bare):
    log = pl.DataFrame({"user_id": [1], "item_id": [1]})
    for given in (bare, Dataset.from_frames(None, log)):
        for kind in ("leave_one_out", "none"):
            text = check_page.text(check(given, SplitConfig(kind=kind)))
            assert not NOTHING.search(text), text
