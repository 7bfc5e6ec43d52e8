"""Experts by a table: what follows, what looks alike, and how both score."""

import numpy as np
import pytest
import torch

from mgrec import Recommender
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.errors import RecipeError
from mgrec.model.inheritance import inherited
from mgrec.model.likeness import joined, likeness
from mgrec.model.neighbours import FLOORS, SCALES, Neighbours, Table
from mgrec.model.transitions import transitions
from mgrec.recipe import Recipe
from tests.planted import FUSIONS, random_vectors, tiny_generator, walks

ALL = {"items": 10_000, "most": 10_000}


def dense(table):
    """The table as a matrix, float32 [items, items]."""
    n = len(table.place)
    rows = torch.zeros(len(table.item), n).scatter_add_(1, table.item.long(), table.strength)
    return rows[table.place.long()]


def filled(table, history=8):
    made = Neighbours(len(table.place), history)
    made.fill(table)
    return made


def random_log(items=30, users=40, seed=0):
    rng = np.random.default_rng(seed)
    return Sequences.of([rng.integers(0, items, rng.integers(1, 14)) for _ in range(users)])


# What follows


def regression(log, n_items, ridge):
    """The slow and obvious way: an equation for every cut of every history."""
    past, after = [], []
    for row in log:
        for cut in range(1, len(row)):
            x, y = np.zeros(n_items), np.zeros(n_items)
            for age, item in enumerate(row[:cut][::-1][:8]):
                x[item] += np.exp(-age / 2)
            for wait, item in enumerate(row[cut:][:4]):
                y[item] += np.exp(-wait)
            past.append(x)
            after.append(y)
    x, y = np.array(past), np.array(after)
    return np.linalg.solve(x.T @ x + ridge * np.eye(n_items), x.T @ y)


def test_transitions_are_the_ridge_regression():
    log = random_log()
    table = transitions(log, 30, **ALL, ridge=3.0)
    wanted = np.maximum(regression(log, 30, 3.0), 0)
    np.testing.assert_allclose(dense(table), wanted, atol=1e-4)


def test_only_the_most_taken_items_are_solved_for_and_their_strongest_followers_kept():
    log = random_log()
    counts = np.bincount(log.items, minlength=33)
    table = transitions(log, 33, items=10, most=3, ridge=3.0)
    found = dense(table)
    known = np.argsort(-counts, kind="stable")[:10]
    assert set(found.sum(1).nonzero()[:, 0].tolist()) == set(known.tolist())
    assert int((found > 0).sum(1).max()) == 3
    assert not found[:, np.setdiff1d(np.arange(33), known)].any()
    assert (table.place[30:] == 10).all()  # nobody took them


def test_a_log_of_nothing_leads_nowhere():
    expert = filled(transitions(Sequences.of([]), 5, **ALL, ridge=1.0))
    scores = expert.scores(expert.last(torch.tensor([[0, 1]])))
    assert (scores == scores[0, 0]).all()


def test_which_item_follows_is_known_without_training():
    expert = filled(transitions(walks(40), 40, **ALL, ridge=1.0))
    found = expert.top(Sequences.of([[i, i + 1, i + 2] for i in range(30)]), 3, exclude_seen=True)
    assert ((found[:, :1] == np.arange(30)[:, None] + 3).any(1)).mean() > 0.9


def random_table(n, most=4):
    torch.manual_seed(0)
    strength, item = torch.rand(n, n).topk(most, dim=1)
    return Table.of_rows(n, torch.randperm(n)[: n - 2], item[2:], strength[2:])  # two lead nowhere


def test_who_has_no_past_follows_and_leads_as_those_that_he_is_like():
    table = random_table(9)
    like = torch.tensor([[0, 3, 8], [5, -1, 2], [-1, -1, -1]])
    leads = (table.place < 7).tolist()
    mean = np.zeros((3, 9))
    for row, near in enumerate(like.tolist()):
        stand_in = [i for i in near if i >= 0 and leads[i]]  # the table knows nothing of others
        mean[row, stand_in] = 1 / max(1, len(stand_in))
    assert not all(leads[i] for i in (0, 3, 8, 5, 2))
    before = dense(table).numpy()
    wanted = np.block([[before, before @ mean.T], [mean @ before, mean @ before @ mean.T]])
    found = dense(inherited(table, 9, like, most=100))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert not found[11].any()
    assert not found[:, 11].any()


@pytest.mark.parametrize("most", [4, 100])
def test_who_came_in_with_whom_does_not_matter(most, monkeypatch):
    table, like = random_table(30), torch.randint(30, (12, 5))
    at_once = inherited(table, 30, like, most=most)
    torch.testing.assert_close(dense(at_once)[:30, :30], dense(table))  # nobody else's changes
    monkeypatch.setattr("mgrec.model.inheritance.CELLS", 100)
    for came in (1, 5, 12):
        table = inherited(table, 30, like[:came], most=most)
    torch.testing.assert_close(dense(table), dense(at_once))
    assert at_once.item.shape[1] <= 2 * most


# What looks alike


def test_likeness_is_a_power_of_the_cosine_and_nobody_is_his_own_neighbour():
    vectors = random_vectors(20)
    present = np.arange(20) != 7
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    wanted = np.exp(12 * (unit @ unit.T - 1)) * present * present[:, None]
    np.fill_diagonal(wanted, 0)
    found = likeness(Embeddings(vectors.vectors, present), np.ones(20, np.int64), **ALL)
    np.testing.assert_allclose(dense(found), wanted, atol=1e-6)
    near = likeness(vectors, np.arange(20), items=5, most=2)
    assert (near.place[:15] == 5).all()  # the others were taken more
    assert (dense(near)[15:] > 0).sum() == 10


@pytest.mark.parametrize("steps", [[26], [6, 7, 26]])
@pytest.mark.parametrize("most", [3, 100])
def test_a_table_that_grows_is_the_one_of_all_items(steps, most):
    vectors = random_vectors(26, width=3)  # so few axes that some are much alike
    whole = likeness(vectors, np.ones(26, np.int64), items=100, most=most)
    grown = likeness(vectors.select(np.arange(5)), np.ones(5, np.int64), items=100, most=most)
    for n in steps:
        grown = joined(grown, vectors.select(np.arange(n)), most=most)
    assert grown.item.shape[1] <= most
    torch.testing.assert_close(dense(grown), dense(whole), atol=1e-6, rtol=1e-5)


def test_blocks_of_vectors_do_not_change_a_table(monkeypatch):
    vectors, counts = random_vectors(26, width=3), np.ones(26, np.int64)
    whole = likeness(vectors, counts, items=100, most=5)
    monkeypatch.setattr("mgrec.model.likeness.BLOCK", 4)
    monkeypatch.setattr("mgrec.model.likeness.ROWS", 7)
    torch.testing.assert_close(dense(likeness(vectors, counts, items=100, most=5)), dense(whole))


# Scores


def test_the_last_items_count_most_and_padding_does_not():
    table = Table.of_rows(
        4, torch.tensor([0, 1]), torch.tensor([[2], [3]]), torch.tensor([[1.0], [1.0]])
    )
    expert = filled(table)
    expert.floor.fill_(0.1)
    expert.scale.fill_(2.0)
    scores = expert.scores(expert.last(torch.tensor([[0, 1, -1], [1, 0, 1]])))
    fades = np.exp(-np.arange(3) / 2)
    worth = np.array([[0, 0, fades[1], fades[0]], [0, 0, fades[1], fades[0] + fades[2]]])
    np.testing.assert_allclose(scores, 2 * np.log(worth + 0.1), rtol=1e-5)


def test_calibration_takes_the_likeliest_of_the_grid():
    expert = filled(transitions(walks(40), 40, **ALL, ridge=1.0))
    log = walks(40, users=30, seed=5)
    history = log.slices(log.offsets[:-1], log.offsets[1:] - 1)
    targets = log.items[log.offsets[1:] - 1]
    expert.calibrate(history, targets)
    chosen = (float(expert.floor), float(expert.scale))
    likely = {}
    for floor in FLOORS:
        for scale in SCALES:
            expert.floor.fill_(floor)
            expert.scale.fill_(scale)
            logs = expert.scores(expert.last(torch.from_numpy(history.padded()))).log_softmax(1)
            likely[floor, scale] = float(
                logs.gather(1, torch.from_numpy(targets).long()[:, None]).sum()
            )
    assert chosen == pytest.approx(max(likely, key=lambda pair: likely[pair]))


def test_weights_are_read_into_an_empty_table():
    expert = filled(transitions(walks(40), 40, **ALL, ridge=1.0))
    other = Neighbours(40, 8)
    other.load_state_dict(expert.state_dict())
    items = torch.tensor([[3, 4, 5]])
    assert torch.equal(expert.scores(items), other.scores(items))


def test_an_artifact_with_tables_answers_as_before(data, tiny, tmp_path):
    views = "model.experts.views=[linear,knn-text,id]"
    made = Recommender.fit(data, tiny("text", views, "model.repeat=true", "training.epochs=1"))
    assert set(made.facts["experts"]) == {"linear", "knn-text", "id"}
    made.save(tmp_path / "run")
    loaded = Recommender.load(tmp_path / "run")
    for user in data.users[:5]:
        assert loaded.recommend(user=user, k=20) == made.recommend(user=user, k=20)


def test_for_serving_the_whole_log_fills_the_tables(data, tiny):
    recipe = tiny("text", "model.experts.views=[linear]", "training.epochs=1")
    chosen, final = (Recommender.fit(data, recipe, final=final) for final in (False, True))
    one, other = (made.model.experts["linear"] for made in (chosen, final))
    assert other.strength.sum() > one.strength.sum()
    assert (other.scale, other.floor) == (one.scale, one.floor)


# Refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["model.experts.views=[linear, linear]"], "each named once"),
        (["model.experts.views=[knn-]"], "a modality behind 'knn-'"),
        (["model.experts.views=[knn-smell]"], "'smell' is none of the recipe's"),
        (
            ["model.experts.views=[linear]", "model.experts.shared=true"],
            "'linear' reads for itself",
        ),
    ],
)
def test_views_that_make_no_sense_are_refused(change, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.named("text").override(change)


def test_codes_have_no_neighbours():
    with pytest.raises(RecipeError, match=r"'knn-image' of .* compares embeddings"):
        tiny_generator(FUSIONS["late++"], experts={"views": ("knn-image",)})
