"""Studies as grids: which rows they ask for, under which names, and who is whose variant."""

import json

import numpy as np
import polars as pl
import pytest

from mgrec import Recipe
from mgrec.errors import RequestError
from mgrec.study import studies
from mgrec.study.compare import compare
from mgrec.study.grid import entries, made
from mgrec.study.studies import canonical, find, rows
from tests.conftest import TINY

FAST = [*TINY, "training.epochs=1", "alignment.epochs=1"]


def grid(*names, **options):
    return entries((), more=tuple(rows(names, **{"seeds": 2} | options)))


def test_the_claims_are_every_row_that_they_are_judged_by_each_once():
    found = {row.name: len(row.seeds) for row in grid("claims")}
    strategies = ("text", "image", "early", "late", "late++")
    changed = ("no alignment", "contrastive only", "generative only", "no transition token")
    changed += ("target text", "target image", "images shuffled")
    assert found == {
        **{f"paper-{name}": 2 for name in strategies},
        **{f"paper-late++, {name}": 1 for name in changed},
    }


def test_a_study_is_of_any_recipe_and_takes_the_overrides_of_all_rows(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("ids: {fusion: late++}\nmodel: {dropout: 0.1}")
    found = grid("late++: target", f"{mine}: ablation", settings=["alignment.epochs=3"])
    assert [row.name for row in found] == [
        "late++",
        "late++, target text",
        "late++, target image",
        "text",
        "image",
        "mine",
        "mine, no alignment",
        "mine, contrastive only",
        "mine, generative only",
        "mine, no transition token",
        "mine, late",
    ]
    unaligned = {row.name for row in found if row.recipe.alignment.epochs != 3}
    assert unaligned == {"mine, no alignment"}  # its own change is stronger
    assert found[-1].recipe.model.dropout == 0.1


def test_a_study_adds_to_rows_that_are_there_and_refuses_others_of_their_name(tmp_path):
    more = tuple(rows(["late++: ablation"], seeds=1))
    found = entries(["late++"], seeds=3, more=more)
    assert {row.name: len(row.seeds) for row in found}["late++"] == 3
    other = (made("late++", ["model.dim=16"], 1),)
    with pytest.raises(RequestError, match="two rows are called 'late\\+\\+', and they differ"):
        entries(["late++"], more=other)


def test_late_is_late_plus_plus_without_both_halves():
    best = Recipe.named("paper-late++")
    neither = best.override(["alignment.epochs=0", "ids.transition_tokens=false"])
    assert canonical(neither) == canonical(Recipe.named("paper-late"))
    assert canonical(best) != canonical(Recipe.named("paper-late"))


def test_a_variant_is_found_whatever_its_row_is_called():
    asked = entries(["late++", "late"], ["alignment.epochs=0"], seeds=1)
    base = asked[0]
    assert find(asked, base, studies.UNALIGNED).name == "late++, alignment.epochs=0"
    assert find(asked, base, studies.LATE).name == "late"
    assert find(asked, base, studies.UNMARKED) is None


def test_an_unknown_study_is_named():
    with pytest.raises(RequestError, match="Did you mean 'ablation'"):
        grid("ablations")


def test_lists_are_kept_beside_ranks_and_come_back(data, tmp_path):
    options = {"seeds": 1, "settings": FAST, "baselines": ("popularity",)}
    compare(data, tmp_path, ("text",), exclude_seen=True, **options)
    for name in ("text-0", "popularity"):
        for file in ("ranks.parquet", "ranks-seen-out.parquet"):
            kept = pl.read_parquet(tmp_path / "runs" / name / file)
            lists, targets = kept["items"].to_numpy(), kept["target"].to_numpy()
            place = np.where(lists == targets[:, None], np.arange(lists.shape[1]), 99).min(1)
            assert np.array_equal(np.where(place == 99, -1, place), kept["rank"].to_numpy())
    # An outcome from before lists were kept is still one.
    file = tmp_path / "runs" / "text-0" / "ranks.parquet"
    pl.read_parquet(file).drop("items").write_parquet(file)
    again = compare(data, tmp_path, ("text",), exclude_seen=True, **options)
    assert json.loads((tmp_path / "report.json").read_text())["standings"]
    assert not again.waiting
