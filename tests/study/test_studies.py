"""Studies as grids: which rows they ask for, under which names, and who is whose variant."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from mgrec import Recipe, Recommender
from mgrec.catalogue import build_catalogue
from mgrec.data.features import Codes
from mgrec.errors import RecipeError, RequestError
from mgrec.study import studies
from mgrec.study.compare import compare
from mgrec.study.comparison_page import page
from mgrec.study.grid import entries, inapplicable, made, merged
from mgrec.study.runs import training_seconds
from mgrec.study.studies import WHOLE, bases, canonical, find, roles, rows
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
        **{f"paper-late++, {name}": 2 for name in changed},
    }


def test_a_study_is_of_any_recipe_and_takes_the_overrides_of_all_rows(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("ids: {fusion: late++}\nmodel: {dropout: 0.1}")
    found = grid("late++: target", f"{mine}: ablation", settings=["alignment.epochs=3"])
    assert [row.name for row in found] == [
        "late++",
        "late++-text-target",
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


def test_what_a_modality_had_of_its_own_goes_with_it(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "ids: {fusion: late++}\nmodel: {experts: {views: [id, text, image]}}\n"
        "content: {sources: {image: encode}}\n"
        "quantiser: {common: 8, per_modality: {text: {levels: 2}, image: {size: 32}}}"
    )
    asked = grid(f"{mine}: strategies", "demo: strategies", settings=["training.epochs=3"])
    found = {row.name: row.recipe for row in asked}
    text, image, early = (found[f"mine, {name}"] for name in ("text", "image", "early"))
    assert text.model.experts.views == ("id", "text")
    assert text.content.sources == {}
    assert list(text.quantiser.per_modality) == ["text"]
    assert image.content.sources == {"image": "encode"}
    assert text.quantiser.common == early.quantiser.common == 0
    assert found["mine, late"].quantiser.common == 8
    assert found["demo, image"].model.experts.views == ("image",)
    assert find(asked, asked[4], studies.IMAGE).name == "mine, image"


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


def test_a_study_is_judged_on_its_page_and_again_when_the_grid_is_resumed(data, tmp_path):
    options = {"seeds": 1, "settings": FAST, "baselines": ()}
    found = compare(data, tmp_path, (), studies=["late++: claims"], **options)
    [judged] = found.claims
    assert judged.base == "late++"
    assert all(verdict.answer != "not tested" for verdict in judged.verdicts)
    assert len(judged.control) == 2
    kept = json.loads((tmp_path / "report.json").read_text())["claims"][0]
    assert [v["answer"] for v in kept["verdicts"]] == [v.answer for v in judged.verdicts]
    assert kept["gain"]["value"]["value"] == judged.gain.value.value
    text, shown = ((tmp_path / name).read_text() for name in ("report.md", "report.html"))
    assert text.index("## The paper's claims") < text.index("## Results")
    for verdict in judged.verdicts:
        assert verdict.claim in text
        assert verdict.claim.replace("'", "&#39;") in shown
    assert found.standings[0].lines[5].what.startswith("late++, but")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("*")}
    again = compare(data, tmp_path, ("late++",), **options)
    assert again.claims == found.claims
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "runs").rglob("*")} == before


def test_plain_recipes_are_judged_by_what_there_is(data, tmp_path):
    options = {"seeds": 1, "settings": FAST, "baselines": ()}
    [judged] = compare(data, tmp_path, ("late", "late++"), **options).claims
    tested = {verdict.claim for verdict in judged.verdicts if verdict.answer != "not tested"}
    assert tested == {"late++ is better than late fusion"}
    assert judged.gain is None
    assert compare(data, tmp_path / "text", ("text",), **options).claims == ()


def test_no_row_is_judged_against_itself(data, tmp_path):
    bare = [setting for setting in FAST if not setting.startswith("alignment.")]
    options = {"seeds": 1, "baselines": ()}
    # Set so, "contrastive only" of late++ is late++ itself; so is "no stage" of late++-auxiliary.
    settings = [*bare, "alignment.epochs=1", "alignment.generative=0"]
    assert compare(data, tmp_path / "a", ("late++",), settings=settings, **options).claims == ()
    options["settings"] = [*bare, "alignment.epochs=0"]
    assert compare(data, tmp_path / "b", ("late++-auxiliary",), **options).claims == ()
    options["sweeps"] = ["late++-auxiliary: alignment.auxiliary=0"]
    [judged] = compare(data, tmp_path / "c", ("late++-auxiliary",), **options).claims
    rows = {v.claim: v.rows for v in judged.verdicts if v.answer != "not tested"}
    assert list(rows) == ["alignment helps"]
    assert rows["alignment helps"].startswith("late++-auxiliary minus late++-auxiliary, ")


def test_a_row_that_generates_one_block_is_no_base_of_claims(data, tmp_path):
    options = {"seeds": 1, "settings": FAST, "baselines": ()}
    found = compare(data, tmp_path, ("late", "late++-text-target"), **options)
    assert found.claims == ()


EXTENSIONS = {variant.recipe: variant for variant in studies.EXTENSIONS}
SMALL = ["content.sasrec_epochs=2"]


def test_every_extension_is_a_recipe_and_a_variant_of_any_base():
    asked = {row.name: row for row in grid("late++: extensions", "extensions")}
    assert {*EXTENSIONS, "late++", "paper-late++"} < {*asked}
    assert len(asked) == 2 + 2 * len(EXTENSIONS)
    kept = {row.name: row for row in grid("late++: extensions", settings=["alignment.epochs=7"])}
    assert kept["late++-auxiliary"].recipe.alignment.epochs == 0  # what makes the row one
    assert kept["late++-image-first"].recipe.alignment.epochs == 7
    for name, variant in EXTENSIONS.items():
        assert canonical(Recipe.named(name)) == canonical(
            Recipe.named("late++").override(variant.changes)
        )
        assert asked[f"paper-late++, {variant.name}"].recipe.model.family == "paper"


@pytest.mark.parametrize("name", EXTENSIONS)
def test_every_extension_trains_and_comes_back_from_its_artifact(name, data, tiny, tmp_path):
    recipe = tiny(name, *SMALL, *EXTENSIONS[name].changes)
    made = Recommender.fit(data, recipe, out=tmp_path / "run")
    losses = [entry["loss"] for entry in made.facts["training"]["curve"]]
    assert losses[-1] < losses[0]
    again = Recommender.load(tmp_path / "run")
    history = made.split().test.history.select(np.arange(20))
    assert np.array_equal(made.top(history, 10), again.top(history, 10))
    blocks = [slot.modality for slot in made.catalogue.ids.slots if slot.kind == "code"]
    assert list(dict.fromkeys(blocks)) == list(made.recipe.ids.modalities)


def test_auxiliary_alignment_alone_has_no_stage(data, tiny):
    auxiliary = Recommender.fit(data, tiny("late++-auxiliary", "alignment.epochs=0"))
    without = Recommender.fit(data, tiny("late++", "alignment.epochs=0"))
    assert "alignment" not in auxiliary.facts
    one, other = (made.facts["training"]["curve"][0]["loss"] for made in (auxiliary, without))
    assert one > other  # its loss is on top


def test_what_was_asked_for_by_itself_stays_a_row_by_itself():
    alone = ["late++", "late++-text-target*1"]
    found = {
        row.name: row for row in entries(alone, more=tuple(rows(["late++: extensions"], seeds=1)))
    }
    assert found["late++-text-target"].headline
    assert not found["late++-auxiliary"].headline
    before = tuple(rows(["late++: extensions"], seeds=1))
    [row] = [row for row in merged(before, entries(alone, seeds=2)) if "target" in row.name]
    assert row.headline
    assert row.seeds == (0,)


def test_of_two_settings_of_one_field_the_later_counts(data, tmp_path):
    options = {"seeds": 1, "baselines": ()}
    settings = [*FAST, "training.epochs=20", "training.epochs=2"]
    compare(data, tmp_path, ("text",), settings=settings, **options)
    assert Recommender.load(tmp_path / "runs" / "text-0").recipe.training.epochs == 2
    compare(data, tmp_path, ("text",), settings=[*settings[1:], settings[0]], **options)
    for row in ("text", "image"):  # another row has no recipe there to be compared with
        with pytest.raises(RequestError, match=r"training\.epochs"):
            compare(data, tmp_path, (row,), settings=[*settings[:-2], *settings[:-3:-1]], **options)
    other = [
        "training.epochs= 20",
        *settings[:-2],
        "training.epochs = 2",
    ]  # the same in other words
    compare(data, tmp_path, ("text",), settings=other, **options)


def test_claims_are_of_the_row_itself_whatever_else_says_the_same():
    settings = ["quantiser.levels=2"]
    sweeps = ["late++: quantiser.levels=2", "late: quantiser.levels=2"]
    found = entries((), sweeps, settings=settings)
    found = merged(found, entries(["late", "late++"], settings=settings))
    [base] = bases(found)
    judged = {entry.name for entry in roles(found, base).values()}
    assert roles(found, base)[WHOLE] is base
    assert judged == {"late", "late++"}


def test_the_seconds_of_a_learned_block_are_part_of_what_training_took(data, tiny):
    made = Recommender.fit(data, tiny("late++-collaborative", *SMALL))
    bare = {name: stage for name, stage in made.facts.items() if name != "learned"}
    learned = made.facts["learned"]["collaborative"]["seconds"]
    assert learned > 0
    assert training_seconds(made.facts) == pytest.approx(training_seconds(bare) + learned)


def test_aligned_codes_agree_more_than_codes_of_their_own(data, tiny):
    from mgrec.measure.information import adjusted_mutual_information

    def agreement(*settings):
        recipe = tiny("late++-aligned-codes", "quantiser.levels=1", "alignment.epochs=0", *settings)
        codes = build_catalogue(data, recipe).codes
        return adjusted_mutual_information(codes["text"].codes[:, 0], codes["image"].codes[:, 0])

    assert agreement() > agreement("quantiser.common=0")


def test_a_common_space_is_refused_where_there_is_none_to_find(data):
    for name in ("text", "early"):
        with pytest.raises(RecipeError, match=r"quantiser.common: expected a recipe"):
            Recipe.named(name).override(["quantiser.common=8"])
    with pytest.raises(RecipeError, match=r"quantiser.common: .*codes only of text, image"):
        build_catalogue(ready_made(data), Recipe.named("late++-aligned-codes"))


def ready_made(data, levels=3):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 8, (data.n_items, levels)).astype(np.int32)
    codes = Codes(rows, np.ones(data.n_items, bool), (8,) * levels)
    return dataclasses.replace(data, embeddings={}, codes={"text": codes, "image": codes})


def test_the_control_shuffles_ready_made_codes_between_items(data):
    codes = ready_made(data)
    missing = np.arange(data.n_items) % 7 == 0
    image = dataclasses.replace(codes.codes["image"], present=~missing)
    codes = dataclasses.replace(codes, codes={**codes.codes, "image": image})
    [plain, mixed] = [
        build_catalogue(codes, row.recipe) for row in grid("late++: control", settings=TINY)
    ]
    before, after = (c.codes["image"] for c in (plain, mixed))
    assert np.array_equal(plain.codes["text"].codes, mixed.codes["text"].codes)
    assert np.array_equal(before.present, after.present)
    have = before.present
    assert (before.codes[have] != after.codes[have]).any(1).mean() > 0.8
    one, other = (np.sort(c.codes[have], axis=0) for c in (before, after))
    assert np.array_equal(one, other)  # the same codes, of other items


def test_sensitivity_is_asked_of_what_is_quantised_and_of_prefixes_of_what_is_not(data, tmp_path):
    asked = grid("late++: sensitivity", settings=FAST)
    keys = ("quantiser.levels", "quantiser.size", "content.prefix")
    assert {row.point.key for row in asked if row.point} == {*keys}
    codes = ready_made(data)

    def applies(of):
        return {
            row.point.key + row.point.value
            for row in asked
            if row.point and not inapplicable(row, of)
        }

    assert applies(codes) == {f"content.prefix{n}" for n in (1, 2, 3)}
    assert not {key for key in applies(data) if "prefix" in key}
    assert len(applies(data)) == 4 + 5
    found = compare(
        codes, tmp_path, (), studies=["late++: sensitivity"], settings=FAST, baselines=()
    )
    why = found.absent
    assert "nothing quantises" in why["late++, quantiser.size=64"]
    assert "at most the 3 levels" in why["late++, content.prefix=4"]
    curve = next(s for s in page(found).sections if s.title == "Sweeps").curves[0]
    assert curve.x == (1, 2, 3)
    lines = {line.name: line.by_seed for line in found.standings[0].lines}
    assert lines["late++, content.prefix=3"] == lines["late++"]  # all levels there are
    cut = Recommender.load(tmp_path / "runs" / "late++-content.prefix=2-0")
    assert cut.catalogue.codes["image"].sizes == (8, 8)
