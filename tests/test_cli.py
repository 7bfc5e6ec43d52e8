"""The command line, as a newcomer, a script and a careless typist use it."""

import json
import sys

import polars as pl
import pytest

from mgrec import cli
from tests.conftest import TINY


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command; returns exit status, standard output, error stream."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mgrec", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


@pytest.fixture(scope="module")
def shop(world, tmp_path_factory):
    """The planted world as a folder, vectors ready-made."""
    folder = tmp_path_factory.mktemp("shop")
    import numpy as np

    world.items.drop("text", "image").write_parquet(folder / "items.parquet")
    world.interactions.write_csv(folder / "interactions.csv")
    (folder / "embeddings").mkdir()
    for name, vectors in world.embedded().embeddings.items():
        np.savez(
            folder / "embeddings" / f"{name}.npz",
            item_id=world.items["item_id"].to_numpy()[vectors.present].astype(str),
            emb=vectors.vectors[vectors.present],
        )
    return folder


@pytest.fixture(scope="module")
def artifact(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    trained.save(path)
    return path


@pytest.mark.parametrize("command", ["explain", "similar", "remove-items"])
def test_an_id_that_begins_with_a_dash_is_named_with_what_to_do(run, artifact, command):
    status, _, err = run(command, artifact, "-5")
    assert status == 2
    assert "-- -5" in err
    history = ["--history", "i01"] if command == "explain" else []
    status, _, err = run(command, artifact, *history, "--", "-5")
    assert status == 2
    assert "'-5'" in err
    assert "not in the catalogue" in err


def settings(*more):
    return [part for setting in (*TINY, *more) for part in ("-s", setting)]


def test_items_come_go_and_come_back(run, trained, tmp_path):
    import numpy as np

    place, items = tmp_path / "run", tmp_path / "new.jsonl"
    trained.save(place)
    items.write_text('{"item_id": "n1", "price": 3.5}\n{"item_id": "n2"}\n')
    np.savez(tmp_path / "text.npz", item_id=["n1"], emb=np.ones((1, 32), np.float32))
    code, out, _ = run("add-items", place, items, "--embeddings", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) | {"seconds": 0} == {
        "version": 1,
        "added": 2,
        "removed": 0,
        "listed": 92,
        "seconds": 0,
        "problems": [],
    }
    assert "n2" in run("recommend", place, "--history", "n1", "--only", "n2,i01")[1]
    (tmp_path / "gone.txt").write_text("n2\ni01\n")
    assert "2 removed, 90 may be" in run("remove-items", place, "--file", tmp_path / "gone.txt")[1]
    assert "n2" not in run("recommend", place, "--history", "n1", "--only", "n2,i02")[1]
    assert "89 may be recommended" in run("remove-items", place, "i02")[1]
    assert "version 4: 1 items added" in run("rollback", place)[1]
    for arguments, message in (
        (("add-items", place, items), "which the catalogue has already"),
        (("add-items", place, tmp_path / "none.csv"), "cannot be read"),
        (
            ("add-items", place, items, "--embeddings", place),
            "expected item_id and one column of lists",
        ),
        (("remove-items", place, "nobody"), "'nobody': not in the catalogue"),
        (("remove-items", place), "either item ids or --file"),
        (("rollback", tmp_path), "not an mgrec artifact"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.strip().splitlines()) == 1


def test_cold_measures_items_that_came_later(run, shop, tmp_path):
    wanted = ("--recipe", "text", "--share", "0.2", "--out", tmp_path / "cold")
    code, out, err = run("cold", shop, *wanted, *settings("training.epochs=1"))
    assert code == 0, err
    assert "18 of 90 items (20%, seed 0) were taken out" in out
    code, out, err = run("cold", shop, *wanted, *settings("training.epochs=1"), "--json")
    assert json.loads(out)["new_items"] == 18
    assert (tmp_path / "cold" / "report.html").is_file()


def test_fit_trains_saves_measures_and_reports(run, shop, tmp_path):
    out = tmp_path / "run"
    wanted = ("--recipe", "late++", "--published", "beauty", "--out", out)
    code, text, err = run("fit", shop, *wanted, *settings())
    assert code == 0, err
    assert "N@10" in text
    assert "popularity" in text
    assert (out / "manifest.json").is_file()
    page = (out / "report.html").read_text()
    assert "Interactions are ordered by time (column &#39;timestamp&#39;" in page
    assert "<html" in page
    assert "arXiv 2305.05065" in page
    assert "processor" in page
    assert not out.with_name("run.checkpoints").exists()
    code, text, _ = run("evaluate", out, "--json")
    found = json.loads(text)["rows"][0]["metrics"]["NDCG@10"]
    assert code == 0
    assert found["low"] <= found["value"] <= found["high"]


def test_check_says_each_warning_once_and_before_what_was_read(run, tmp_path):
    (tmp_path / "interactions.csv").write_text(
        "user_id,item_id,date\nu,1,2024-05-17\nu,2,2024-05-16\n"
    )
    (tmp_path / "notes.xyz").write_text("")
    code, text, err = run("check", tmp_path)
    assert code == 0
    assert (text + err).count("notes.xyz") == 1
    assert "--column timestamp=date" in "\n".join(text.splitlines()[:8])


def test_check_says_what_was_understood_and_what_a_fit_takes(run, shop):
    code, text, err = run("check", shop, *settings("training.epochs=60"))
    assert code == 0
    assert "90 items" in text
    assert "at most" in text
    assert "for all 60" in text
    assert "measuring" in err
    code, text, _ = run("check", shop, *settings("training.epochs=3"), "--threads", "1", "--json")
    forecast = json.loads(text)["forecast"]
    assert forecast["epochs"] == [3, 3]
    assert forecast["threads"] == 1


def test_recommend_for_a_user_a_history_and_everybody(run, artifact, trained, data, tmp_path):
    user = data.users[5]
    code, text, _ = run("recommend", artifact, "--user", user, "-k", 3, "--json")
    answer = json.loads(text)
    assert code == 0
    assert [i["item_id"] for i in answer["items"]] == trained.recommend(user=user, k=3).item_ids
    history = data.items["item_id"][:3].to_list()
    code, text, _ = run("recommend", artifact, "--history", ",".join(history), "-k", 3)
    assert code == 0
    assert text.count("\n") == 4
    code, _, _ = run("recommend", artifact, "--all-users", "--out", tmp_path / "all.parquet")
    assert code == 0
    assert pl.read_parquet(tmp_path / "all.parquet")["user_id"].n_unique() == 120


def test_ids_with_blanks_stand_in_quotes_and_unknown_ones_are_named(run, artifact, trained):
    first, second = trained.catalogue.item_ids[:2]
    history = f'"{first}", {second}'
    plain = run("recommend", artifact, "--history", f"{first} {second}", "--json")
    assert run("recommend", artifact, "--history", history, "--json") == plain
    asked = ("--history", first, "--exclude", f'{second} "no, such"', "--json")
    code, text, err = run("recommend", artifact, *asked)
    assert code == 0
    assert err == "warning: --exclude: not in the catalogue: no, such\n"
    assert second not in {item["item_id"] for item in json.loads(text)["items"]}


def test_no_command_writes_into_what_is_anothers(run, shop, artifact, tmp_path):
    before = {file: file.read_bytes() for file in artifact.rglob("*") if file.is_file()}
    (tmp_path / "reviews").write_text("{}")
    amazon = ("--reviews", tmp_path / "reviews", "--meta", tmp_path / "reviews")
    for command in (
        ("compare", shop, "--recipes", "text", "--out", artifact),
        ("cold", shop, "--out", artifact),
        ("convert", "amazon2014", *amazon, "--out", artifact),
        ("compare", shop, "--recipes", "text", "--out", shop),
    ):
        code, _, err = run(*command)
        assert code == 2
        assert "error: " in err
        assert "expected a" in err
    assert before == {file: file.read_bytes() for file in artifact.rglob("*") if file.is_file()}


def test_recommend_under_conditions(run, artifact, trained, data):
    user = data.users[5]
    asked = ("--user", user, "--where", "price < 20", "--max-per", "season=1", "-k", 9)
    code, text, _ = run("recommend", artifact, *asked, "--json")
    assert code == 0
    found = [item["item_id"] for item in json.loads(text)["items"]]
    seasons = dict(data.items.select("item_id", "season").iter_rows())
    assert len({seasons[item] for item in found}) == len(found) == 4
    wanted = trained.recommend(user=user, k=9, where="price < 20", max_per={"season": 1})
    assert found == wanted.item_ids


def test_explain_says_why_and_draws_it(run, artifact, trained, data, tmp_path):
    history = data.items["item_id"][:3].to_list()
    item, place = data.items["item_id"][7], tmp_path / "why.svg"
    why = trained.explain(item, history)
    code, text, _ = run("explain", artifact, item, "--history", " ".join(history))
    assert code == 0
    assert text.startswith("\n".join(why.words()))
    for part in why.past:
        assert f"{part.moved:+7.2f}  '{part.title}' ({part.item_id})" in text
    asked = ("--user", data.users[3], "--picture", place, "--json")
    code, text, _ = run("explain", artifact, item, *asked)
    assert json.loads(text)["item_id"] == item
    assert place.read_text().startswith("<svg")


def test_similar_lists_neighbours(run, artifact, trained, data):
    item = data.items["item_id"][7]
    code, text, _ = run("similar", artifact, item, "--by", "text", "-k", 3, "--json")
    assert code == 0
    found = [other["item_id"] for other in json.loads(text)["items"]]
    assert found == trained.similar(item, 3, by="text").item_ids
    code, text, _ = run("similar", artifact, item, "--where", "price < 20")
    assert "(similar by text and image)" in text


def test_inspect_shows_codebooks_prefixes_items_and_exports(run, artifact, trained, tmp_path):
    code, text, _ = run("inspect", artifact, "--prefix", "1", "--export", tmp_path / "ids.parquet")
    assert code == 0
    assert "text level 1 uses" in text
    expected = (trained.catalogue.codes["text"].codes[:, 0] == 1) & trained.catalogue.codes[
        "text"
    ].present
    assert f"Under the prefix 1: {expected.sum()} items" in text
    assert len(pl.read_parquet(tmp_path / "ids.parquet")) == 90
    item = trained.catalogue.items["item_id"][7]
    code, text, _ = run("inspect", artifact, "--item", item, "--json")
    assert json.loads(text)["items"][0]["semantic_id"] == trained.catalogue.ids.text(7)


def test_evaluate_against_another_run_tests_the_difference(run, artifact):
    code, text, _ = run("evaluate", artifact, "--against", artifact)
    assert code == 0
    assert "all cases: +0.0000 [+0.0000, +0.0000], p = 1.0000" in text
    assert "they do not tell what another seed would show" in " ".join(text.split())


def test_evaluate_both_ways_agrees_with_each_way_alone(run, artifact):
    """Baselines too, which are fitted once for both."""
    tables = []
    for flags in (["--both-ways"], ["--exclude-seen"], []):
        code, text, err = run("evaluate", artifact, "--baselines", *flags, "--json")
        assert code == 0, err
        tables.append(json.loads(text))
    both, _, plain = tables
    assert "'seen out'" in both["protocol"]
    assert both["notes"] == plain["notes"]
    assert len(both["rows"]) > 3
    found = [table["rows"] for table in tables]
    for row, without_seen, unfiltered in zip(*found, strict=True):
        assert not unfiltered["beside"]
        expected = unfiltered["metrics"]
        out = {f"{name} seen out": value for name, value in without_seen["metrics"].items()}
        assert row["metrics"] == expected | out
        ndcg, recall = (out[f"{name} seen out"]["value"] for name in ("NDCG@10", "Recall@10"))
        assert row["beside"]["N@10 seen out"].startswith(f"{ndcg:.4f} [")
        assert row["beside"]["R@10 seen out"] == f"{recall:.4f}"
    assert found[1] != found[2]


def test_help_is_there_for_every_verb(run):
    code, text, _ = run("--help")
    assert code == 0
    for verb in (
        "demo",
        "check",
        "fit",
        "evaluate",
        "compare",
        "recommend",
        "explain",
        "similar",
        "inspect",
    ):
        assert verb in text
        code, more, _ = run(verb, "--help")
        assert code == 0
        assert "--json" in more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "/no/such/folder"], "/no/such/folder"),
        (["fit", "SHOP", "--out", "TMP/x", "--recipe", "lat++"], "Did you mean 'late++'?"),
        (["fit", "SHOP", "--out", "TMP/x", "-s", "model.dimm=3"], "Did you mean 'model.dim'?"),
        (["fit", "SHOP", "--out", "TMP/x", "-s", "epochs=3"], "ambiguous"),
        (["fit", "SHOP", "--out", "TMP/x", "-s", "model.dim=much"], "model.dim"),
        (["fit", "SHOP", "--out", "TMP/x", "--column", "uid"], "user_id=uid"),
        (
            ["check", "SHOP", "--column", "item_id=a", "--column", "item_id=b"],
            "found also item_id=a, expected one name",
        ),
        (["fit", "SHOP", "--out", "TMP"], "folder of other things"),
        (["fit", "SHOP", "--out", "TMP/x", "--published", "toy"], "Did you mean 'toys'?"),
        (["compare", "SHOP", "--out", "TMP/x", "--recipes", "lat"], "Did you mean 'late'?"),
        (["evaluate", "RUN", "--both-ways", "--exclude-seen"], "expected one of them"),
        (["recommend", "RUN", "--user", "u001", "-k", "0"], "k: expected at least 1"),
        (["recommend", "RUN", "--user", "u001", "--where", "prize < 3"], "Did you mean 'price'?"),
        (["recommend", "RUN", "--user", "u001", "--max-per", "season"], "ATTRIBUTE=NUMBER"),
        (["recommend", "RUN", "--user", "u001", "--max-per", "seson=1"], "Did you mean 'season'?"),
        (["explain", "RUN", "no-such", "--user", "u001"], "is not in the catalogue"),
        (["explain", "RUN", "i01"], "either a history or a user"),
        (["similar", "RUN", "i01", "--by", "pictures"], "unknown modality 'pictures'"),
        (["recommend", "RUN"], "either a history or a user"),
        (["recommend", "RUN", "--all-users"], "--out"),
        (["recommend", "SHOP", "--user", "1"], "not an mgrec artifact"),
        (["inspect", "RUN", "--prefix", "x"], "expected at most"),
        (["inspect", "RUN", "--item", "no-such"], "not in the catalogue"),
        (["evaluate", "TMP/nothing"], "found nothing"),
        (
            ["fit", "SHOP", "--out", "TMP/x", "-s", "content.shuffle=[images]"],
            "'images' is none of",
        ),
        (["fit", "SHOP", "--out", "TMP/x", "-s", "model.experts.views=[foo]"], "'foo' is none of"),
        (["fit", "SHOP", "--out", "TMP/x", "-s", "quantiser.size=0"], "quantiser.size"),
        (["fit", "SHOP", "--out", "TMP/x", "--from", "RUN", "--recipe", "text"], "no --recipe"),
        (["recommend", "RUN", "--all-users", "--out", "TMP/a", "--only", "x"], "--only"),
        (["recommend", "RUN", "--all-users", "--out", "TMP"], "error: "),
        (["inspect", "RUN", "--prefix", "9" * 30], "expected at most"),
        (["nope"], "No such command 'nope'. Run 'mgrec --help'"),
        (["convert", "amazon2015"], "No such command 'amazon2015'"),
        (["convert", "amazon2014", "--reviews", "TMP/x"], "Missing option"),
        (["recommend", "RUN", "--usre", "x"], "Run 'mgrec recommend --help'"),
        (["recommend", "RUN", "-k", "many"], "Invalid value for '-k'"),
        (["recommend", "RUN", "one", "two"], "unexpected extra argument"),
        (["fit", "SHOP"], "Missing option '--out'"),
        (["fit", "SHOP", "--out"], "requires an argument"),
        (["evaluate", "RUN", "--threads", "-1"], "Invalid value for '--threads'"),
        (["check", "TMP/something.txt"], "expected a folder"),
        (["check", "TMP"], "expected interactions.parquet"),
        (["check", "SHOP", "-s", "model.dim"], "expected key=value"),
        (["check", "SHOP", "-s", "model.dim=[1]"], "valid integer"),
        (["check", "SHOP", "-s", "model=3"], "unknown field"),
        (["check", "SHOP", "-s", ""], "expected key=value"),
        (["check", "SHOP", "--recipe", "TMP/none.yaml"], "unknown"),
        (["check", "SHOP", "--recipe", "TMP/bad.yaml"], "not YAML"),
        (["check", "SHOP", "--text-column", "zzz"], "no column 'zzz'"),
        (["compare", "SHOP", "--out", "TMP/something.txt"], "found a file"),
        (["compare", "SHOP", "--out", "TMP/x", "--recipes", ","], "found no recipe"),
        (["compare", "SHOP", "--out", "TMP/x", "--recipes", "text*0"], "number of seeds"),
        (["compare", "SHOP", "--out", "TMP/x", "--recipes", "text*99999999"], "1 to 1,000"),
        (["compare", "SHOP", "--out", "TMP/x", "--seeds", "0"], "'--seeds'"),
        (["compare", "SHOP", "--out", "TMP/x", "--study", "all"], "expected one of claims"),
        (["compare", "SHOP", "--out", "TMP/x", "--sweep", "model.dim"], "key=value,value"),
        (["compare", "SHOP", "--out", "TMP/x", "--baselines", "none"], "expected one of"),
        (["compare", "SHOP", "--out", "TMP/x", "--minutes", "nan"], "training.minutes"),
        (["study", "TMP/nothing"], "mgrec compare"),
        (["study", "TMP/something.txt"], "mgrec compare"),
        (["study", "RUN", "--users", "0"], "'--users'"),
        (["cold", "SHOP", "--out", "TMP/x", "--share", "2"], "share of 2"),
        (["cold", "SHOP", "--out", "TMP/x", "--share", "some"], "'--share'"),
        (["cold", "SHOP", "--out", "TMP/something.txt"], "found a file"),
        (["cold", "TMP/nothing", "--out", "TMP/x"], "no such folder"),
    ],
)
def test_what_is_refused_is_one_line_and_a_status(
    run, shop, artifact, tmp_path, arguments, message
):
    (tmp_path / "something.txt").write_text("else")
    (tmp_path / "bad.yaml").write_text("a: [1")
    places = {"SHOP": str(shop), "RUN": str(artifact)}
    words = [places.get(word, word.replace("TMP", str(tmp_path))) for word in arguments]
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("error: ")


def test_a_date_column_that_is_not_used_is_warned_of(run, shop, tmp_path):
    import shutil

    copy = tmp_path / "shop"
    shutil.copytree(shop, copy)
    log = pl.read_csv(copy / "interactions.csv").rename({"timestamp": "date_added"})
    log.write_csv(copy / "interactions.csv")
    _, text, err = run("check", copy)
    assert "pass --column timestamp=date_added" in text
    assert "not by time" in text.splitlines()[1]
    _, text, err = run("check", copy, "--column", "timestamp=date_added")
    assert "date_added" not in err
    assert "ordered by time (column 'date_added'" in text.splitlines()[1]


def test_a_warning_is_printed_and_the_run_goes_on(run, shop, tmp_path):
    import shutil

    copy = tmp_path / "shop"
    shutil.copytree(shop, copy)
    with (copy / "interactions.csv").open("a") as log:
        log.write("u001,no-such-item,1900000000\n")
    code, out, _ = run("check", copy)
    assert code == 0
    assert "rows of items that the catalogue does not have" in out
