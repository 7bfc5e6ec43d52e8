"""Items that come and go after training: nobody's ID changes, everything stays exact."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import mgrec
from mgrec import Dataset, Recommender, artifact
from mgrec.data.cold import without
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import DataError, RecipeError, RequestError
from mgrec.model.shares import shares_of
from mgrec.search.beam import beam_search
from mgrec.search.candidates import ranked
from mgrec.search.exact import score_catalogue
from mgrec.serving.live import Live
from mgrec.storage import recommender_of
from tests.arrivals import arrivals

STRATEGIES = ("text", "image", "early", "late", "late++")
SMALL = ["training.epochs=1", "model.layers=1", "alignment.epochs=1"]


@pytest.fixture(scope="module")
def new(data):
    return arrivals(data)


@pytest.fixture(scope="module")
def shop(new, tiny):
    """Trained without the arrivals, with every kind of expert."""
    views = "[id,text,image,linear,knn-text,knn-image]"
    return Recommender.fit(new.warm, tiny("late++", f"model.experts.views={views}"))


@pytest.fixture(scope="module")
def grown(shop, new):
    return shop.add_items(new.items, embeddings=new.ready)


def context(made, rows=(0, 5, 9)):
    history = torch.from_numpy(made.users.log.select(np.array(rows)).padded())
    with torch.inference_mode():
        return made.model.context(history)


# Coming


@pytest.mark.parametrize("name", [*STRATEGIES, *(f"paper-{name}" for name in STRATEGIES)])
@pytest.mark.parametrize("ratio", ["null", "2.0"])
def test_new_items_are_recommended_at_once_and_exactly(new, tiny, name, ratio):
    made = Recommender.fit(new.warm, tiny(name, *SMALL, f"search.new_items={ratio}"))
    ready = {m: e for m, e in new.ready.items() if m in made.catalogue.vectors}
    more = made.add_items(new.items, embeddings=ready)
    n, total = made.catalogue.n_items, more.catalogue.n_items
    assert total == n + len(new.items)
    assert (more.catalogue.ids.tokens[:n] == made.catalogue.ids.tokens).all()
    assert len(np.unique(more.catalogue.ids.target_codes(), axis=0)) == total
    answer = more.recommend(history=[new.ids[0]], only=new.ids, k=5)
    assert answer.known == 1
    assert len(answer) == 5
    assert set(answer.item_ids) <= set(new.ids)

    context_ = context(more)
    exact = score_catalogue(more.model, context_)
    items, scores = beam_search(more.model, context_, total)
    torch.testing.assert_close(scores, exact.gather(1, items), atol=3e-5, rtol=1e-5)
    if more.model.legal:  # still a distribution over the catalogue
        torch.testing.assert_close(exact.exp().sum(1), torch.ones(3))
    with torch.inference_mode():  # the one that was there before is what it was
        before = score_catalogue(made.model, context(made))
    if ratio != "null":
        drift = exact[:, :n] - before
        assert bool((drift <= 1e-5).all())
        assert float(drift.min()) > float(_floor(more)) - 1e-4


def _floor(made):
    """The most that the shares can take from any item that was there before."""
    shares = made.model.shares
    return sum(kept[kept > float("-inf")].min() for kept in shares.kept)


def test_what_new_siblings_take_is_their_part_of_the_weight(shop, grown):
    trie, n = grown.model.trie, shop.catalogue.n_items
    shares = shares_of(trie, grown.catalogue.added, grown.counts, 1.0)
    weight = grown.counts + 1.0
    weight[n:] = weight[:n].mean()
    items = torch.arange(grown.catalogue.n_items)
    codes = grown.catalogue.ids.target_codes()
    for level in range(trie.depth):
        parents = trie.nodes_of(items, level - 1)
        for parent in parents.unique().tolist():
            rows = (parents == parent).nonzero()[:, 0].numpy()
            old = set(codes[rows[rows < n], level].tolist())
            of_new = [r for r in rows[rows >= n] if codes[r, level] not in old]
            share = weight[of_new].sum() / weight[rows].sum() if old else 1.0
            found = float(shares.given[level][parent].exp())
            assert found == pytest.approx(share, rel=1e-4)


def test_old_items_keep_their_order_among_themselves(shop, grown):
    """A share is one factor for all that it is taken from, so siblings never change places."""
    before, after = shop.model, grown.model
    for level in range(before.trie.depth):
        parents = before.trie.nodes_of(torch.arange(shop.catalogue.n_items), level - 1).unique()
        hidden = torch.randn(len(parents), before.config.dim)
        item = before.trie.item_of_leaf[_first_leaf(before.trie, level - 1, parents)].long()
        theirs = after.trie.nodes_of(item, level - 1)
        with torch.inference_mode():
            children, log_prob = before.next_codes(level, hidden, parents)
            more, after_log_prob = after.next_codes(level, hidden, theirs)
        real, there = ~children.padding, ~more.padding
        for row in range(len(parents)):
            codes = children.of(before.trie.levels[level].code)[row][real[row]].tolist()
            found = more.of(after.trie.levels[level].code)[row][there[row]].tolist()
            kept = torch.tensor([found.index(code) for code in codes])
            shift = after_log_prob[row][there[row]][kept] - log_prob[row][real[row]]
            torch.testing.assert_close(shift, shift[:1].expand_as(shift), atol=1e-4, rtol=0)
            assert after_log_prob[row][there[row]].exp().sum() == pytest.approx(1, abs=1e-4)


def test_where_experts_know_content_everybody_else_keeps_order_and_distance(shop, grown, new):
    old = shop.catalogue.items["item_id"].to_list()
    history = old[3:6]
    before = shop.recommend(history=history, k=len(old))
    after = grown.recommend(history=history, only=old, k=len(old))
    shift = {item.item_id: item.score for item in after}
    moved = [shift[item.item_id] - item.score for item in before]
    np.testing.assert_allclose(moved, moved[0], atol=2e-3)
    assert moved[0] < 0  # the experts' softmax has more items to share with
    places = {item: place for place, item in enumerate(after.item_ids)}
    scores = [item.score for item in before]
    apart = [n for n in range(len(scores) - 1) if scores[n] - scores[n + 1] > 5e-3]
    for n in apart:
        assert places[before.item_ids[n]] < places[before.item_ids[n + 1]]


def test_where_experts_know_content_a_new_item_is_scored_by_it(grown, new):
    made = grown.model
    context_ = context(grown)
    n = grown.catalogue.n_items
    exact = score_catalogue(made, context_)
    with torch.inference_mode():
        logs = made.experts.log_probs(context_.views)
    content = (logs[1] + logs[2]).log_softmax(-1)  # not the id's, nor what is not trained
    fresh = torch.from_numpy(grown.catalogue.added)
    torch.testing.assert_close(exact[:, fresh], content[:, fresh], atol=1e-5, rtol=0)
    with torch.inference_mode():
        for item in (0, n - 1):
            one = made.log_prob(context_, torch.full((3,), item))
            torch.testing.assert_close(one, exact[:, item], atol=1e-5, rtol=0)
    found = ranked(made, context_, n, n)
    items, scores = found.items, found.scores
    with torch.inference_mode():
        total = exact + made.experts.combined(context_.views, context_.seen)
    torch.testing.assert_close(scores, total.gather(1, items), atol=5e-5, rtol=1e-5)
    assert (items.sort(1).values == torch.arange(n)).all()


def _first_leaf(trie, level, nodes):
    return nodes if level < 0 else trie.levels[level].span(nodes)[0]


def test_one_by_one_or_all_at_once_is_the_same(shop, new, grown):
    step = shop
    for place in range(len(new.items)):
        frame, ready = new.some(place)
        step = step.add_items(frame, embeddings=ready)
    assert (step.catalogue.ids.tokens == grown.catalogue.ids.tokens).all()
    assert step.catalogue.items.equals(grown.catalogue.items)
    history = new.warm.items["item_id"][:3].to_list()
    one, other = (made.recommend(history=history, k=20) for made in (step, grown))
    assert one.item_ids == other.item_ids
    np.testing.assert_allclose([i.score for i in one], [i.score for i in other], atol=1e-4)


def test_what_grew_is_saved_loaded_and_trained_on(grown, data, tmp_path):
    grown.save(tmp_path / "run")
    loaded = mgrec.load(tmp_path / "run")
    for user in data.users[:5]:
        assert loaded.recommend(user=user, k=20) == grown.recommend(user=user, k=20)
    further = Recommender.fit(data, grown.recipe, start=loaded, out=tmp_path / "further")
    assert further.model.shares is None  # it has seen them now
    assert further.counts[-len(grown.catalogue.items) :].sum() > 0


def test_weights_are_shared_and_the_first_one_is_untouched(shop, grown):
    assert grown.model.tokens.weight.data_ptr() == shop.model.tokens.weight.data_ptr()
    assert shop.catalogue.n_items == shop.model.trie.n_items == len(shop.counts)
    assert shop.catalogue.added is None


def test_an_item_without_a_past_is_named_as_its_neighbours_are(shop, new, grown):
    n = shop.catalogue.n_items
    names = grown.model.experts["id"].view.embedding.weight
    vectors = [grown.catalogue.vectors[m].vectors for m in ("text", "image")]
    unit = np.concatenate(
        [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in vectors], 1
    )
    for place in range(len(new.items)):
        cosine = np.where(shop.counts > 0, unit[n + place] @ unit[:n].T, -1)  # the log's only
        nearest = np.argsort(-cosine)[:10]
        near = nearest[cosine[nearest] > 0]
        torch.testing.assert_close(names[n + place], names[near].mean(0))


def test_an_item_with_nothing_but_its_id_gets_the_missing_blocks(shop):
    made = shop.add_items(pl.DataFrame({"item_id": ["bare", "barer"]}))
    assert made.catalogue.ids.text(made.catalogue.n_items - 1).count("missing") == 4
    assert made.recommend(history=["bare"], only=["barer"]).item_ids == ["barer"]


def test_codes_are_taken_where_the_catalogue_has_only_codes(data, world, tiny):
    rng = np.random.default_rng(0)
    codes = Codes(rng.integers(0, 8, (90, 2)).astype(np.int32), np.ones(90, bool), sizes=(256, 256))
    bare = Dataset.from_frames(
        world.items.drop("text", "image"), world.interactions, codes={"text": codes}
    )
    made = Recommender.fit(bare, tiny("text", *SMALL))
    new = pl.DataFrame({"item_id": ["a", "b"]})
    more = made.add_items(new, embeddings={"text": (["b", "a"], np.array([[1, 2], [44, 4]]))})
    assert more.catalogue.ids.text(90).startswith("text1:44 text2:4")
    assert more.catalogue.ids.text(91).startswith("text1:1 text2:2")
    for wrong, message in (
        (np.array([[1, 2, 3], [1, 2, 3]]), "found 3 levels"),
        (np.array([[1, 2], [1, 256]]), "up to code 256"),
    ):
        with pytest.raises(DataError, match=message):
            made.add_items(new, embeddings={"text": (["a", "b"], wrong)})
    vectors = Embeddings(np.zeros((2, 3), np.float32), np.ones(2, bool))
    with pytest.raises(DataError, match="found vectors, expected codes"):
        made.add_items(new, embeddings={"text": vectors})


def test_columns_take_the_catalogues_types_and_new_ones_are_kept(shop):
    made = shop.add_items(pl.DataFrame({"item_id": ["x"], "price": [3], "colour": ["red"]}))
    assert made.catalogue.items.schema["price"] == shop.catalogue.items.schema["price"]
    assert made.catalogue.items["price"][-1] == 3.0
    assert made.catalogue.items["colour"].to_list() == [None] * shop.catalogue.n_items + ["red"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, r: (f.with_columns(item_id=pl.lit("i00")), r), "again"),
        (lambda f, r: (f.with_columns(price=pl.lit("dear")), r), "column 'price': found 'dear'"),
        (lambda f, r: (f.drop("item_id"), r), "no column 'item_id'"),
        (lambda f, r: (f.with_columns(item_id=pl.lit(None, pl.String)), r), "found no id"),
        (lambda f, r: (f.clear(), r), "no rows"),
        (lambda f, r: (f, {"txet": r["text"]}), "expected one of text, image$"),
        (
            lambda f, r: (f, {"text": (f["item_id"], np.zeros((len(f), 5), np.float32))}),
            "found 5 dimensions, expected 32",
        ),
        (
            lambda f, r: (f, {"text": (f["item_id"], np.full((len(f), 32), np.nan))}),
            "found nan",
        ),
        (lambda f, r: (f, {"text": (["nobody"], np.zeros((1, 32)))}), "none of its 1 ids"),
        (lambda f, r: (f.with_columns(title=pl.lit("x"), text=pl.lit("words")), {}), "ready-made"),
    ],
)
def test_what_is_malformed_is_refused_in_one_line(shop, new, change, message):
    frame, ready = change(*new.some(0, 1))
    with pytest.raises(DataError, match=message) as caught:
        shop.add_items(frame, embeddings=ready)
    assert "\n" not in str(caught.value)


def test_known_items_are_refused(grown, new):
    with pytest.raises(DataError, match=r"row 1, column 'item_id': found .* has already"):
        grown.add_items(new.items, embeddings=new.ready)


def test_more_alike_items_than_the_code_tells_apart_are_refused(shop):
    ids = [f"n{i}" for i in range(257)]
    with pytest.raises(DataError, match=r"found 25[78] items that share their codes, expected"):
        shop.add_items(pl.DataFrame({"item_id": ids}))


# From pictures and words


@pytest.fixture(scope="module")
def written(world, tiny, tmp_path_factory):
    """A recommender that encodes texts and pictures itself, and the folder of its data."""
    folder = world.write(tmp_path_factory.mktemp("written"))
    cache = tmp_path_factory.mktemp("cache")
    rows = np.arange(80)
    data = without(Dataset.read(folder), np.arange(80, 90))
    made = Recommender.fit(data, tiny("late++", *SMALL), cache=cache)
    assert made.catalogue.n_items == len(rows)
    return made, folder


def test_texts_and_pictures_are_encoded_as_the_others_were(written, world, tmp_path, monkeypatch):
    made, folder = written
    monkeypatch.setenv("MGREC_CACHE", str(tmp_path / "cache"))
    there = made.catalogue.items[:3].with_columns(item_id=pl.Series(["a", "b", "c"]))
    more = made.add_items(there, folder=folder)
    for name, vectors in more.catalogue.vectors.items():
        old, new = vectors.vectors[:3], vectors.vectors[80:]
        np.testing.assert_allclose(new, old, atol=1e-3, err_msg=name)
    codes = more.catalogue.ids.tokens[:, :-1]
    assert (codes[80:] == codes[:3]).all()  # all but what tells them apart
    assert more.catalogue.root == folder


def test_pictures_that_cannot_be_read_are_told_of_and_their_items_come(written, tmp_path):
    made, _ = written
    (tmp_path / "bad.jpg").write_bytes(b"no picture at all")
    file = tmp_path / "new.jsonl"
    file.write_text(
        '{"item_id": "a", "text": "words", "image": "bad.jpg"}\n'
        '{"item_id": "b", "image": "gone.jpg"}\n'
        '{"item_id": "c"}\n'
    )
    more = made.add_items(file)
    words = "; ".join(more.catalogue.problems)
    assert "not a picture: 1 of 1 pictures, e.g. bad.jpg" in words
    assert "items whose picture file is not there, kept without it: 1" in words
    assert [more.catalogue.ids.text(80 + n).count("missing") for n in range(3)] == [2, 4, 4]
    assert more.recommend(history=["a"], only=["b", "c"]).generated


def test_a_picture_outside_the_folder_is_refused(written, tmp_path):
    frame = pl.DataFrame({"item_id": ["a"], "image": ["../secret.jpg"]})
    with pytest.raises(DataError, match="leaves the data folder"):
        written[0].add_items(frame, folder=tmp_path)


def test_another_encoder_than_the_artifacts_is_refused(written):
    made, _ = written
    other = replace(made.catalogue.encoders["text"], revision="another")
    encoders = {**made.catalogue.encoders, "text": other}
    strange = replace(made, catalogue=replace(made.catalogue, encoders=encoders))
    with pytest.raises(RecipeError, match=r"text: found encoder .*expected the artifact's own"):
        strange.add_items(pl.DataFrame({"item_id": ["a"], "text": ["words"]}))


# Going


def test_removed_items_never_come_and_nobody_else_moves(shop, data, tmp_path):
    user = shop.users.ids[3]
    before = shop.recommend(user=user, k=60)
    gone = [*before.item_ids[:5], *shop.recommend(history=[], k=3).item_ids]
    made = shop.remove_items(gone)
    after = made.recommend(user=user, k=60)
    assert not set(after.item_ids) & set(gone)
    scores = {item.item_id: item.score for item in before}
    for item in after:
        if item.item_id in scores:
            assert item.score == pytest.approx(scores[item.item_id], abs=1e-4)
    kept = [item for item in before.item_ids if item not in gone]
    assert after.item_ids[: len(kept)] == kept
    for answer in (
        made.recommend(history=[], k=90),
        made.recommend(history=gone, k=90),
        made.recommend(history=gone, k=90, exclude_seen=True),
        made.recommend(history=gone, only=[*gone, kept[0]], k=90),
    ):
        assert answer.item_ids
        assert not set(answer.item_ids) & set(gone)
    assert made.recommend(history=gone, only=gone).item_ids == []
    assert made.recommend(history=gone[:1]).generated
    for seen in (False, True):
        made.recommend_all(tmp_path / "all.parquet", k=90, exclude_seen=seen)
        assert not set(pl.read_parquet(tmp_path / "all.parquet")["item_id"]) & set(gone)
    assert len(made.recommend(history=gone, k=90)) == made.catalogue.n_items - len(set(gone))


def test_an_item_that_comes_back_keeps_its_id(grown, new):
    frame, ready = new.some(2)
    gone = grown.remove_items(frame["item_id"])
    back = gone.add_items(frame.with_columns(price=pl.lit(99.0)), embeddings=ready)
    assert back.catalogue.n_items == grown.catalogue.n_items
    assert (back.catalogue.ids.tokens == grown.catalogue.ids.tokens).all()
    assert back.catalogue.listed.all()
    row = back.catalogue.index_of(frame["item_id"])[0]
    assert back.catalogue.items["price"][int(row)] == 99.0
    history = [frame["item_id"][0]]
    one, other = (made.recommend(history=history, k=20) for made in (back, grown))
    assert one == other


def test_unknown_and_removed_ids_are_refused(shop):
    with pytest.raises(RequestError, match="'nobody': not in the catalogue"):
        shop.remove_items(["i01", "nobody"])
    made = shop.remove_items(["i01"])
    with pytest.raises(RequestError, match="'i01': removed already"):
        made.remove_items(["i01"])
    with pytest.raises(RequestError, match="expected a list"):
        shop.remove_items("i01")


def test_a_column_in_which_nothing_stands_takes_no_type(shop):
    first = shop.add_items(pl.DataFrame({"item_id": ["x1"], "shade": [None]}))
    assert "shade" not in first.catalogue.items.columns
    more = first.add_items(pl.DataFrame({"item_id": ["x2"], "shade": ["red"]}))
    assert more.catalogue.items.schema["shade"] == pl.String


def test_a_column_that_was_empty_at_fit_takes_what_comes(shop):
    catalogue = shop.catalogue
    made = shop.over(replace(catalogue, items=catalogue.items.with_columns(shade=pl.lit(None))))
    made = made.add_items(pl.DataFrame({"item_id": ["x1"], "shade": ["red"]}))
    made = made.add_items(pl.DataFrame({"item_id": ["x2"], "shade": ["blue"]}))
    assert made.catalogue.items["shade"].to_list()[-3:] == [None, "red", "blue"]


@pytest.fixture(scope="module")
def renamed(data, tiny, tmp_path_factory):
    """A saved run whose files call the items' ids article_id."""
    ids = data.items["item_id"]
    items = pl.DataFrame({"article_id": ids, "code": ["0108775"] * len(ids)})
    users = data.users.gather(np.repeat(np.arange(data.n_users), data.log.lengths))
    log = pl.DataFrame({"user_id": users, "article_id": ids.gather(data.log.items)})
    columns = {"item_id": "article_id"}
    made = Recommender.fit(
        Dataset.from_frames(items, log, columns=columns, embeddings=data.embeddings),
        tiny("late++", *SMALL),
    )
    folder = tmp_path_factory.mktemp("renamed")
    made.save(folder / "run")
    return folder / "run"


def first_vectors(made):
    return {m: Embeddings(v.vectors[:1], v.present[:1]) for m, v in made.catalogue.vectors.items()}


@pytest.mark.parametrize("name", ["article_id", "item_id"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "frame"])
def test_new_items_are_taken_under_the_fitted_column_name_and_ours(renamed, tmp_path, name, kind):
    made = Recommender.load(renamed)
    frame = pl.DataFrame({name: ["0999"], "code": ["0999999"]})
    file = tmp_path / f"arrivals.{kind}"
    if kind == "csv":
        frame.write_csv(file)
    elif kind == "jsonl":
        frame.write_ndjson(file)
    given = frame if kind == "frame" else file
    more = made.add_items(given, embeddings=first_vectors(made))
    assert more.catalogue.item_ids[-1] == "0999"
    assert more.catalogue.items["code"][-1] == "0999999"
    assert "article_id" not in more.catalogue.items.columns


def test_the_fitted_column_names_outlast_saving_and_live_changes(renamed, tmp_path):
    run = Path(shutil.copytree(renamed, tmp_path / "run"))
    live = Live.open(run)
    vectors = first_vectors(live.recommender)
    live.add_items(pl.DataFrame({"article_id": ["first"]}), embeddings=vectors)
    again = Live.open(run)
    again.add_items(pl.DataFrame({"article_id": ["second"]}), embeddings=vectors)
    assert Live.open(run).recommender.catalogue.item_ids[-2:] == ["first", "second"]
    with pytest.raises(DataError, match="no column 'article_id' or 'item_id', found 'sku'"):
        again.add_items(pl.DataFrame({"sku": ["third"]}), embeddings=vectors)


def test_an_artifact_of_before_column_names_were_saved_is_loaded(renamed):
    contents = artifact.read(renamed)
    layout = {k: v for k, v in contents.documents["layout"].items() if k != "columns"}
    old = replace(contents, documents={**contents.documents, "layout": layout})
    assert recommender_of(old).catalogue.columns == {}


@pytest.mark.parametrize(
    ("value", "said"), [(3e37, "numbers up to 1e"), (9e14, "like those of training")]
)
def test_vectors_too_large_to_be_squared_are_refused(shop, new, value, said):
    rows, ready = new.some(0)
    n, dim = ready["text"].vectors.shape
    far = Embeddings(np.full((n, dim), value, np.float32), np.ones(n, bool))
    with pytest.raises(DataError, match=said):
        shop.add_items(rows, embeddings={**ready, "text": far})


def test_new_vectors_may_come_as_bare_arrays(shop, new):
    rows, ready = new.some(0)
    bare = {name: torch.from_numpy(one.vectors.copy()) for name, one in ready.items()}
    made, expected = (shop.add_items(rows, embeddings=e) for e in (bare, ready))
    assert (made.catalogue.ids.tokens == expected.catalogue.ids.tokens).all()
    with pytest.raises(DataError, match="one row for each item, in the order of the new items"):
        shop.add_items(rows, embeddings={"text": bare["text"][:0], "image": bare["image"]})
