"""The comparison: resumed, extended, killed, refused; its tests, its words, its three forms."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mgrec import Dataset
from mgrec.data.features import Codes
from mgrec.errors import ArtifactError, RequestError
from mgrec.measure.intervals import Interval, holm, paired
from mgrec.measure.metrics import metric
from mgrec.model.training import _Loop
from mgrec.recipe import Recipe
from mgrec.serving.live import Live
from mgrec.study import wording
from mgrec.study.compare import compare
from mgrec.study.comparison import Comparison, standing
from mgrec.study.comparison_page import page
from mgrec.study.grid import entries, reference
from mgrec.study.ground import Ground
from mgrec.study.markdown import markdown
from mgrec.study.members import Member
from mgrec.study.outcomes import Cost, Outcome, check_same
from mgrec.study.parts import Section
from mgrec.study.place import COLD, COMPARISON, own_folder
from mgrec.study.publishing import document
from mgrec.study.report import render
from mgrec.study.tuning import TRIALS, Tuning
from tests.conftest import TINY
from tests.study.test_report import Page

FAST = [*TINY, "training.epochs=1", "alignment.epochs=1"]
TWICE = [*FAST, "training.epochs=2"]
CHEAP = ("popularity", "item-knn", "linear")


def put(data, out, recipes=("text", "late++"), **options):
    options = {"seeds": 1, "settings": FAST, "baselines": CHEAP} | options
    return compare(data, out, recipes, **options)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Two strategies with two seeds, baselines, both protocols; and its folder."""
    out = tmp_path_factory.mktemp("comparison") / "out"
    options = {"seeds": 2, "exclude_seen": True, "dataset": "beauty", "baselines": CHEAP}
    rows = ("text*1", "late++")
    found = put(data, out, rows, sweeps=["quantiser.levels=1,2"], **options)
    return found, out


def written(out):
    """When every file of the runs was written."""
    return {file: file.stat().st_mtime_ns for file in (out / "runs").rglob("*") if file.is_file()}


def figures(found):
    return {line.name: line.metrics["NDCG@10"].value for line in found.standings[0].lines}


def test_what_is_done_is_not_done_again_and_a_grid_is_extended(data, tmp_path):
    options = {"recipes": ("text",), "baselines": ("popularity",)}
    first = put(data, tmp_path, **options)
    before = written(tmp_path)
    assert figures(put(data, tmp_path, **options)) == figures(first)
    assert written(tmp_path) == before
    more = put(data, tmp_path, ("image*2",), baselines=("item-knn",))
    after = written(tmp_path)
    assert {file: after[file] for file in before} == before
    new = {file.relative_to(tmp_path / "runs").parts[0] for file in after.keys() - before.keys()}
    knn = [f"item-kNN-on-{name}" for name in ("text", "image", "both")]
    assert new == {"image-0", "image-1", *knn}
    assert list(figures(more))[:3] == ["text", "image", "popularity"]
    assert figures(more).items() >= figures(first).items()
    counts = {line.name: len(line.by_seed) for line in more.standings[0].lines}
    assert counts == dict.fromkeys(counts, 1) | {"image": 2}


@pytest.mark.slow
def test_a_killed_grid_has_a_report_and_resumes_from_its_checkpoint(data, tmp_path, monkeypatch):
    options = {
        "recipes": ("text",),
        "baselines": ("sasrec",),
        "settings": TWICE,
    }
    whole = put(data, tmp_path / "whole", **options)
    step, steps = _Loop.step, []

    def until_killed(loop, *batch):
        if loop.task.name == "SASRec" and loop.at.epoch == 1:
            loop.save()
            raise KeyboardInterrupt
        return step(loop, *batch)

    def counted(loop, *batch):
        steps.append(loop.at.epoch)
        return step(loop, *batch)

    monkeypatch.setattr(_Loop, "step", until_killed)
    with pytest.raises(KeyboardInterrupt):
        put(data, tmp_path / "killed", **options)
    text = (tmp_path / "killed" / "report.md").read_text()
    assert "| SASRec, seed 0 | the same command goes on with it |" in text
    assert "Not done yet: 1 run," in text
    before = written(tmp_path / "killed")
    monkeypatch.setattr(_Loop, "step", counted)
    resumed = put(data, tmp_path / "killed", **options)
    assert steps[0] == 1  # from the checkpoint on
    after = written(tmp_path / "killed")
    kept = [file for file in before if "SASRec" not in str(file)]
    assert {file: after[file] for file in kept} == {file: before[file] for file in kept}
    assert figures(resumed) == figures(whole)
    assert not resumed.waiting
    assert (
        "on validation among 6 trials of at most 2 epochs" in resumed.standings[0].lines[-1].notes
    )


def test_a_run_saved_but_not_measured_is_measured_and_not_trained(data, tmp_path):
    first = put(data, tmp_path, ("text",), baselines=())
    (tmp_path / "runs" / "text-0" / "outcome.json").unlink()
    before = written(tmp_path)
    again = put(data, tmp_path, ("text",), baselines=())
    manifest = tmp_path / "runs" / "text-0" / "manifest.json"
    assert written(tmp_path)[manifest] == before[manifest]
    assert figures(again) == figures(first)
    assert again.standings[0].lines[0].cost.seconds == first.standings[0].lines[0].cost.seconds


def test_another_recipe_override_or_data_is_never_passed_off_as_the_old(data, world, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("ids: {fusion: unimodal, modalities: [text]}")
    out = tmp_path / "out"
    put(data, out, (str(mine),), baselines=())
    with pytest.raises(RequestError, match=r"training.epochs=1.*training.epochs=2"):
        put(data, out, (str(mine),), settings=TWICE, baselines=())
    other = dataclasses.replace(data, users=data.users.reverse())
    with pytest.raises(RequestError, match="other data"):
        put(other, out, (str(mine),), baselines=())
    mine.write_text("ids: {fusion: unimodal, modalities: [text]}\nmodel: {dropout: 0.1}")
    with pytest.raises(RequestError, match=r"model.dropout 0.3, found 0.1"):
        put(data, out, (str(mine),), baselines=())


@pytest.mark.usefixtures("shown")
def test_what_does_not_apply_is_named_with_its_reason(world, tmp_path, capsys):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 8, (world.n_items, 2)).astype(np.int32)
    ready = {"text": Codes(codes, np.ones(world.n_items, bool), (8, 8))}
    data = Dataset.from_frames(world.items.select("item_id"), world.interactions, codes=ready)
    found = put(data, tmp_path, ("text", "image", "early", "late++"))
    assert list(figures(found)) == ["text", "popularity", "linear"]
    assert found.reference == "text"
    expected = {"image", "early", "late++"}
    expected |= {f"item-kNN on {name}" for name in ("text", "image", "both")}
    assert set(found.absent) == expected
    assert "ready-made codes only of text" in found.absent["item-kNN on text"]
    assert "the data has only text" in found.absent["early"]
    assert "early: does not apply: " in capsys.readouterr().err.replace("\n", " ")
    both = dataclasses.replace(data, codes={**ready, "image": ready["text"]})
    found = put(both, tmp_path / "codes", ("text", "early"), baselines=())
    assert "early fusion needs embeddings" in found.absent["early"]
    assert "Does not apply to this data" in (tmp_path / "codes" / "report.md").read_text()


def test_every_row_is_tested_and_corrected_by_holm(finished):
    planted = [row(str(n), {0: first(n)}) for n in (200, 190, 193, 206, 199)]
    made = standing(planted, "200", {}, False, "")
    assert any(line.test.p < 0.05 < line.test.corrected for line in made.lines[1:])
    for table in (made, *finished[0].standings):
        reference = "200" if table is made else "late++"
        tests = [line.test for line in table.lines if line.name != reference]
        assert all(line.test is None for line in table.lines if line.name == reference)
        assert len(tests) == len(table.lines) - 1
        assert [test.corrected for test in tests] == holm([test.p for test in tests])


def test_a_users_metric_is_averaged_over_seeds_before_it_is_tested():
    rng = np.random.default_rng(0)
    ranks = {name: rng.integers(-1, 20, (3, 50)) for name in ("a", "b")}
    members = [row(name, dict(enumerate(rows))) for name, rows in ranks.items()]
    masks = {"head": np.arange(50) < 20}
    a, b = standing(members, "b", masks, False, "").lines
    mean = {name: metric(rows, "NDCG@10").mean(0) for name, rows in ranks.items()}
    assert a.metrics["NDCG@10"].value == pytest.approx(mean["a"].mean())
    assert a.slices["NDCG@10"]["head"].value == pytest.approx(mean["a"][:20].mean())
    assert a.test.difference.value == pytest.approx((mean["a"] - mean["b"]).mean())
    assert a.by_seed == pytest.approx(metric(ranks["a"], "NDCG@10").mean(1))
    assert a.spread == pytest.approx(np.std(a.by_seed, ddof=1))
    assert a.cost == Cost(5, 2.0, 10.0)
    assert b.test is None


def row(name, ranks):
    outcomes = {s: Outcome({}, {False: r}, Cost(5, 1.0 + (s or 0), 10.0)) for s, r in ranks.items()}
    return Member(name, "model", name, name, outcomes, len(ranks))


def first(count):
    """Ranks of a row that puts the targets of so many users first, of 400."""
    return np.where(np.arange(400) < count, 0, -1)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ({0: first(150), 1: first(154)}, "worse"),
        ({0: first(110), 1: first(194)}, "not told apart"),  # as far on average, but seeds move
        ({0: first(195), 1: first(197)}, "not told apart"),
        ({0: first(240), 1: first(246)}, "better"),
        ({0: first(150)}, "worse"),  # one seed; how far it moves, the other row tells
        ({7: first(150)}, "worse"),
        ({None: first(150)}, "worse"),  # chance has no part in it
        ({None: first(200)}, "not told apart"),
    ],
)
def test_rows_are_told_apart_where_neither_users_nor_seeds_could_turn_it(other, verdict):
    ours = row("ours", {0: first(200), 1: first(204)})
    found = standing([ours, row("other", other)], "ours", {}, False, "")
    test = found.lines[1].test
    assert test.verdict == verdict
    assert (test.difference.low < 0 < test.difference.high) == (verdict == "not told apart")
    assert test.difference.value == pytest.approx(
        found.lines[1].metrics["NDCG@10"].value - found.lines[0].metrics["NDCG@10"].value
    )
    words = wording.method(found, "ours")
    assert f"{found.noise.deviation:.4f}" in words
    assert "over users and seeds" in words


def test_one_seed_a_row_is_tested_over_users_alone_and_the_table_says_so():
    members = [row("ours", {0: first(200)}), row("other", {0: first(190)})]
    found = standing(members, "ours", {}, False, "")
    alone = paired(*(metric(first(n), "NDCG@10") for n in (190, 200)))
    assert (found.lines[1].test.p, found.lines[1].test.difference) == (alone.p, alone.difference)
    assert "users alone" in wording.method(found, "ours")
    assert "another seed may show otherwise" in wording.verdict(Comparison("ours", (found,), {}))
    # Where neither row has chance in it, other rows' seeds do not count.
    fixed = [row("ours", {None: first(200)}), row("other", {None: first(190)})]
    several = row("third", {0: first(90), 1: first(190)})
    test = standing([*fixed, several], "ours", {}, False, "").lines[1].test
    assert test.difference == alone.difference


def test_all_rows_of_a_table_tell_of_its_noise_each_under_its_own_protocol():
    def both(plain, seen_out):
        """Outcomes by seed, with other ranks where seen items are left out."""
        pairs = enumerate(zip(plain, seen_out, strict=True))
        return {s: Outcome({}, {False: first(a), True: first(b)}, Cost()) for s, (a, b) in pairs}

    counts = {
        "ours": ((200,), (300,)),
        "other": ((180,), (200,)),
        "third": ((100, 180), (150, 154)),  # seeds move it where nothing is filtered
    }
    members = [Member(n, "model", n, n, both(*c), len(c[0])) for n, c in counts.items()]
    plain, seen_out = (standing(members, "ours", {}, out, "") for out in (False, True))
    assert plain.noise.deviation == pytest.approx(80 / 400 / np.sqrt(2))
    assert seen_out.noise.deviation == pytest.approx(4 / 400 / np.sqrt(2))
    assert [found.noise.freedom for found in (plain, seen_out)] == [1, 1]
    verdicts = [[line.test.verdict for line in t.lines[1:]] for t in (plain, seen_out)]
    assert verdicts[0] == ["not told apart"] * 2
    assert seen_out.lines[1].test.difference.value == pytest.approx(-100 / 400)
    text = markdown(page(Comparison("ours", (plain, seen_out), {})))
    for table in (plain, seen_out):
        assert f"moves a row by {table.noise.deviation:.4f}" in text


def test_one_process_at_a_time_works_in_a_folder(data, tmp_path):
    with own_folder(tmp_path, COMPARISON), pytest.raises(RequestError, match="another process"):
        put(data, tmp_path, ("text",))
    put(data, tmp_path, ("text",))
    with pytest.raises(RequestError, match="found a comparison"), own_folder(tmp_path, COLD):
        pass


def test_a_comparison_that_is_refused_leaves_no_folder(data, tmp_path):
    with pytest.raises(RequestError, match="no such row"):
        put(data, tmp_path / "new", ("text",), against="else")
    assert not (tmp_path / "new").exists()


def test_a_sweep_of_what_a_recipe_does_not_have_does_not_apply(data, tmp_path):
    found = put(data, tmp_path, ("late",), sweeps=["late: alignment.epochs=0,5"])
    assert found.reference == "late"
    assert "only late++ aligns" in found.absent["late, alignment.epochs=5"]


def test_page_markdown_and_json_say_the_same(finished):
    found, out = finished
    text = (out / "report.md").read_text()
    raw = (out / "report.html").read_text()
    shown, kept = Page(raw).text, json.loads((out / "report.json").read_text())
    assert kept == json.loads(json.dumps(document(found)))
    assert kept["verdict"] in text
    assert kept["verdict"] in shown
    assert "http:" not in raw
    for table in kept["standings"]:
        for line in table["lines"]:
            for value in line["metrics"].values():
                interval = Interval(**value)
                ends = f"{interval.low:.4f}", f"{interval.high:.4f}"
                assert f"{interval.value:.4f} [{ends[0]}, {ends[1]}]" in text
                assert f"{interval.value:.4f} {ends[0]}\N{EN DASH}{ends[1]}" in shown
            assert re.search(rf"^\| {re.escape(line['name'])} \|", text, re.M)
            for name in line["slices"]["NDCG@10"]:
                assert f"| {name} |" in text
    for words in ("arXiv 2305.05065", "TIGER", "Each row minus late++", "Seeds and cost"):
        assert words in text
        assert words in shown
    assert {"command", "seeds", "data fingerprint", "processor", "torch"} <= set(kept["card"])


def test_with_seen_items_left_out_there_is_a_second_table_of_all_rows(finished, data, tmp_path):
    found, _ = finished
    plain, seen_out = found.standings
    assert [line.name for line in plain.lines] == [line.name for line in seen_out.lines]
    assert "nothing filtered" in plain.protocol
    assert "left out" in seen_out.protocol
    assert figures(found) != {line.name: line.metrics["NDCG@10"].value for line in seen_out.lines}
    # Asked for later, it is measured without any training.
    put(data, tmp_path, ("text",), baselines=("popularity",))
    before = written(tmp_path)
    later = put(data, tmp_path, ("text",), baselines=("popularity",), exclude_seen=True)
    manifest = tmp_path / "runs" / "text-0" / "manifest.json"
    assert written(tmp_path)[manifest] == before[manifest]
    assert len(later.standings) == 2
    assert len(later.standings[1].lines) == 2


def test_a_sweep_is_a_row_a_value_and_a_curve(finished):
    found, out = finished
    names = ["late++, quantiser.levels=1", "late++, quantiser.levels=2"]
    lines = {line.name: line for line in found.standings[0].lines}
    assert [len(lines[name].by_seed) for name in names] == [1, 1]
    # The same settings and seed as the row itself.
    assert lines[names[1]].by_seed[0] == lines["late++"].by_seed[0]
    sweeps = next(s for s in page(found).sections if s.title == "Sweeps")
    assert sweeps.curves[0].x == (1, 2)
    assert "quantiser.levels" in (out / "report.html").read_text()


def test_further_sections_stand_on_the_page(finished):
    summary = page(finished[0], [Section("Modality dominance", "What the codes follow.")])
    assert "## Modality dominance\n\nWhat the codes follow." in markdown(summary)
    assert "What the codes follow." in Page(render(summary)).text


def test_rows_are_read_from_words():
    rows = entries(["text", "late*1"], ["late: model.dim=16,32", "ids.modalities=[text, image]"])
    assert [row.name for row in rows] == [
        "text",
        "late",
        "late, model.dim=16",
        "late, model.dim=32",
        "late, ids.modalities=[text, image]",
    ]
    assert [len(row.seeds) for row in rows] == [3, 1, 1, 1, 1]
    assert rows[2].recipe.model.dim == 16
    assert rows[2].seeded(0).name == "late, model.dim=16"
    assert reference(rows, None) == "late"
    assert reference(rows[:2], None) == "late"
    assert reference(rows, "text") == "text"


def test_a_sweep_that_names_no_recipe_is_of_the_reference(data, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("ids: {fusion: late, modalities: [text, image]}")
    for recipes, base, expected in (
        (["text", "paper-late++"], None, "paper-late++"),
        (["late++", "text*2"], "text", "text"),
        (["late++", str(file)], "mine", "mine"),
        (["late++"], "late++, quantiser.levels=2", "late++"),
    ):
        [*_, swept] = entries(recipes, ["model.dim=16"], base=base)
        assert swept.name == f"{expected}, model.dim=16"
    bare = dataclasses.replace(data, embeddings={"text": data.embeddings["text"]}, codes={})
    [*_, swept] = entries(["late++", "text"], ["model.dim=16"], data=bare)
    assert swept.name == "text, model.dim=16"


@pytest.mark.parametrize(
    ("recipes", "options", "message"),
    [
        (["late*x"], {}, "number of seeds"),
        (["late", "late"], {}, "two rows are called 'late'"),
        (["lat"], {}, "Did you mean 'late'"),
        ([], {}, "no recipe"),
        (["late"], {"sweeps": ["model.dim"]}, "key=value"),
        (["late"], {"settings": ["seed=3"]}, "expected --seeds"),
        (["late"], {"baselines": ["knn"]}, "popularity, item-knn, linear, sasrec"),
        (["late"], {"against": "text"}, "no such row"),
        (["late"], {"studies": ["ablations"]}, "Did you mean 'ablation'"),
        (["late"], {"dataset": "beaty"}, "Did you mean 'beauty'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(data, tmp_path, recipes, options, message):
    from mgrec.errors import MgrecError

    with pytest.raises(MgrecError, match=re.escape(message)) as refused:
        put(data, tmp_path, recipes, **options)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["linear", "SASRec", "Popularity", "item-kNN on text"])
def test_no_row_has_a_baselines_name(data, tmp_path, name):
    file = tmp_path / f"{name}.yaml"
    file.write_text("ids: {modalities: [text]}")
    with pytest.raises(RequestError, match="a baseline's name"):
        put(data, tmp_path / "out", (str(file),))


def test_a_run_that_was_changed_since_is_not_measured_again(data, tmp_path):
    put(data, tmp_path, ("text",), baselines=())
    Live.open(tmp_path / "runs" / "text-0").remove_items(data.items["item_id"][:1])
    with pytest.raises(RequestError, match="catalogue was changed"):
        put(data, tmp_path, ("text",), baselines=(), exclude_seen=True)


def test_where_nothing_could_be_chosen_the_report_says_so(data, tmp_path):
    ground = Ground.of(data, Recipe.named("text").split)
    none = dataclasses.replace(
        ground.parts, validation=ground.parts.validation.select(np.arange(0))
    )
    blind = dataclasses.replace(ground, parts=none)
    recipe = Recipe.named("text").override(["training.epochs=1"])
    tuning = Tuning(tmp_path, blind, recipe)
    assert "not chosen" in tuning.chosen_by
    assert "nothing to select by" in blind.protocol(False)
    assert "selected on validation" in ground.protocol(False)
    assert tuning.best() == TRIALS[0]
    assert not list(tmp_path.iterdir())


def test_a_damaged_outcome_is_named(data, tmp_path):
    put(data, tmp_path, ("text",), baselines=("popularity",))
    (tmp_path / "runs" / "popularity" / "outcome.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"popularity/outcome.json: corrupt"):
        put(data, tmp_path, ("text",), baselines=("popularity",))


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"identity": {}, "NDCG@10": "good"}'])
def test_a_damaged_trial_is_named(data, tmp_path, damage):
    recipe = Recipe.named("late++").override(FAST)
    tuning = Tuning(tmp_path, Ground.of(data, recipe.split), recipe)
    (tmp_path / f"{TRIALS[0].name}.json").write_text(damage)
    with pytest.raises(ArtifactError, match=r"dropout-.*json: corrupt \(.*delete it"):
        tuning.best()


@pytest.mark.parametrize("part", ["recipe", "training"])
def test_what_was_written_before_a_field_was_there_is_the_same_run(part):
    recipe = Recipe.named("late++")
    now = {"recipe": recipe, "training": recipe.training}[part].model_dump(mode="json")
    before = {key: value for key, value in now.items() if key not in ("device", "search")}
    assert before != now
    check_same(Path("run"), {part: before}, {part: now})
    other = {"seed": 7} if part == "recipe" else {"epochs": 1}
    with pytest.raises(RequestError, match="expected the same"):
        check_same(Path("run"), {part: before | other}, {part: now})


def test_the_command_prints_the_table_and_writes_the_report(world, tmp_path, monkeypatch, capsys):
    from mgrec import cli

    world.interactions.write_csv(tmp_path / "interactions.csv")
    rng = np.random.default_rng(0)
    (tmp_path / "codes").mkdir()
    ids = world.items["item_id"].to_numpy().astype(str)
    np.savez(tmp_path / "codes" / "text.npz", item_id=ids, codes=rng.integers(0, 8, (90, 2)))
    settings = [part for setting in FAST for part in ("-s", setting)]
    words = ["compare", str(tmp_path), "--out", str(tmp_path / "out"), "--recipes", "text,early"]
    words += ["--seeds", "1", "--baselines", "popularity", "--minutes", "5", *settings]
    monkeypatch.setattr(sys, "argv", ["mgrec", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    text = capsys.readouterr().out
    assert "early: does not apply: " in text
    assert "N@10" in text
    assert (tmp_path / "out" / "report.html").is_file()
    assert "mgrec compare" in (tmp_path / "out" / "report.md").read_text()
