"""Targets from a teacher: drawn as its lists say, from the past alone, and learned."""

import numpy as np
import pytest
import torch

from mgrec import Recommender, fitting, teaching
from mgrec.configs import SearchConfig, TrainingConfig
from mgrec.data.sequences import Sequences
from mgrec.data.splits import Cases
from mgrec.errors import RecipeError
from mgrec.model.checkpoint import Checkpoint
from mgrec.model.experts import Experts
from mgrec.model.neighbours import Table
from mgrec.model.next_item import NextItem
from mgrec.model.teacher import Teacher
from mgrec.model.training import train
from mgrec.recipe import Recipe
from mgrec.search.ranking import top
from mgrec.study.runs import training_seconds
from mgrec.teaching import SHARPNESS, Teachers
from tests.interrupting import interrupted
from tests.planted import FUSIONS, tiny_generator

TRAINING = TrainingConfig(targets=128, learning_rate=1e-2, warmup=10, precision="float32")
ITEMS = 40


def listing(items, chances, share):
    """The teacher whose places all have lists, [places, most] both."""
    return Teacher(torch.as_tensor(items).int(), torch.as_tensor(chances).half(), share)


def test_draws_are_as_frequent_as_the_lists_say():
    torch.manual_seed(0)
    chance = torch.tensor([[3.0, 1.0, 0.0], [0.2, 0.2, 0.6]])
    teacher = listing([[5, 7, 2], [1, 9, 4]], chance, 1.0)
    for place in range(2):
        places = torch.full((40_000,), place)
        found = teacher.targets(places, torch.zeros_like(places))
        frequency = found.bincount(minlength=10) / len(found)
        wanted = torch.zeros(10).scatter(0, teacher.item[place].long(), chance[place])
        torch.testing.assert_close(frequency, wanted / wanted.sum(), atol=0.012, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_targets_is_drawn(share):
    torch.manual_seed(0)
    teacher = listing([[8]] * 500, [[1.0]] * 500, share)
    own = torch.randint(8, (500,))
    found = teacher.targets(torch.arange(500), own)
    assert torch.equal(found[found < 8], own[found < 8])
    assert (found == 8).float().mean() == pytest.approx(share, abs=0.06)


def taught_model(views=("linear", "id")):
    """A model with trained-like experts of a cycle: after item i comes i + 1."""
    torch.manual_seed(0)
    model = tiny_generator(items=ITEMS, experts={"views": views})
    cycle = torch.arange(ITEMS)
    follower = ((cycle + 1) % ITEMS)[:, None]
    model.experts["linear"].fill(Table.of_rows(ITEMS, cycle, follower, torch.ones(ITEMS, 1)))
    return model


def recipe_of(*teachers):
    names = ", ".join(teachers)
    return Recipe.named("text").override(["training.teacher=0.5", f"training.teachers=[{names}]"])


def cycles(users=60, seed=0):
    """Cases whose target follows the last item of the history."""
    begins = np.random.default_rng(seed).integers(0, ITEMS, users)
    history = Sequences.of([[b, (b + 1) % ITEMS] for b in begins])
    return Cases(np.arange(users), history, ((begins + 2) % ITEMS).astype(np.int32))


def test_who_knows_what_comes_counts_and_who_does_not_does_not():
    model = taught_model()
    teachers = Teachers.weighed(model.experts, recipe_of("linear", "id"), cycles(), {})
    linear, by_name = teachers.weight.tolist()
    assert linear > 0.5
    assert by_name * 10 < linear


def test_only_who_is_named_teaches_and_without_validation_all_count_alike():
    model = taught_model()
    one = Teachers.weighed(model.experts, recipe_of("linear"), cycles(), {})
    assert one.weight[0] > 0
    assert one.weight[1] == 0
    both = Teachers.weighed(model.experts, recipe_of("id", "linear"), None, {})
    assert both.weight.tolist() == [0.5, 0.5]


def test_the_order_that_teachers_are_named_in_does_not_matter():
    model = taught_model(("linear", "knn-text", "id"))
    orders = (("linear", "id"), ("id", "linear"))
    one, two = (
        Teachers.weighed(model.experts, recipe_of(*names), cycles(), {}).weight for names in orders
    )
    torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)
    assert one[1] == 0


def test_lists_hold_what_the_teachers_expect_after_every_place_s_past():
    model = taught_model()
    model.experts["linear"].floor.fill_(1e-4)
    log = Sequences.of([[3, 9, 20, 4], [], [7], [30, 39, 1]])
    weight = torch.tensor([1.0, 0.0])
    teacher = Teachers(model.experts, weight).lists(log, history=50, share=1.0)
    for begin, end in zip(log.offsets[:-1], log.offsets[1:], strict=True):
        for place in range(begin + 1, end):
            before = torch.from_numpy(log.items[begin:place]).long()[None]
            likely = model.experts.combined(model.experts.states(before), None, weight)
            likely = likely.softmax(1) ** SHARPNESS
            chance = torch.zeros(ITEMS).scatter(
                0, teacher.item[place].long(), teacher.chance[place].float()
            )
            torch.testing.assert_close(chance, (likely / likely.sum())[0], atol=1e-3, rtol=1e-2)
            assert teacher.item[place, 0] == (log.items[place - 1] + 1) % ITEMS


def test_what_comes_later_is_not_looked_at():
    model = taught_model()
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, ITEMS, 12) for _ in range(20)]
    other = [np.concatenate([row[:6], (row[6:] + 7) % ITEMS]) for row in rows]
    teachers = Teachers(model.experts, torch.tensor([0.3, 0.7]))
    one, two = (teachers.lists(Sequences.of(log), 4, 0.5) for log in (rows, other))
    early = np.flatnonzero(np.arange(20 * 12) % 12 <= 6)  # the seventh place's own item too
    assert torch.equal(one.item[early], two.item[early])
    assert torch.equal(one.chance[early], two.chance[early])
    assert not torch.equal(one.item, two.item)


@pytest.fixture
def in_parts(monkeypatch):
    """Lists are saved after few places."""
    monkeypatch.setattr(teaching, "PART", 16)
    monkeypatch.setattr(teaching, "ROWS", 8)


def test_interrupted_lists_go_on_from_the_last_part_that_was_saved(in_parts, tmp_path, monkeypatch):
    model = taught_model()
    teachers = Teachers(model.experts, torch.tensor([0.3, 0.7]))
    rng = np.random.default_rng(0)
    log = Sequences.of([rng.integers(0, ITEMS, n) for n in (9, 30, 2, 25)])

    def lists():
        return teachers.lists(log, 8, 0.5, lambda part: Checkpoint(tmp_path, "mine", part))

    whole = teachers.lists(log, 8, 0.5)
    states = Experts.states
    monkeypatch.setattr(Experts, "states", interrupted(states, 5))
    with pytest.raises(KeyboardInterrupt):
        lists()
    monkeypatch.setattr(Experts, "states", interrupted(states, 4))  # of 8: 4 are saved
    found = lists()
    assert torch.equal(found.item, whole.item)
    assert torch.equal(found.chance, whole.chance)


@pytest.mark.parametrize("change", ["weights", "PART", "SHARPNESS"])
def test_saved_lists_that_were_made_otherwise_are_made_anew(
    in_parts, change, tmp_path, monkeypatch
):
    model = taught_model()
    log = Sequences.of([np.random.default_rng(0).integers(0, ITEMS, 30)])

    def lists(weights, saves):
        return Teachers(model.experts, torch.tensor(weights)).lists(log, 8, 0.5, saves)

    def saves(part):
        return Checkpoint(tmp_path, "mine", part)

    lists([0.3, 0.7], saves)
    weights = [0.7, 0.3] if change == "weights" else [0.3, 0.7]
    if change != "weights":
        monkeypatch.setattr(teaching, change, {"PART": 8, "SHARPNESS": 1.0}[change])
    found, expected = lists(weights, saves), lists(weights, lambda part: None)
    assert torch.equal(found.item, expected.item)
    assert torch.equal(found.chance, expected.chance)


def test_what_the_teacher_says_is_learned():
    torch.manual_seed(0)
    model = tiny_generator(items=ITEMS)
    rng = np.random.default_rng(0)
    noise = Sequences.of([rng.integers(0, ITEMS, 9) for _ in range(120)])
    follower = (np.roll(noise.items, 1) + 1) % ITEMS
    teacher = listing(follower[:, None], np.ones((len(follower), 1)), 0.9)
    train(NextItem(model, noise, TRAINING, 0, teacher=teacher), TRAINING, epochs=12, seed=0)
    histories = Sequences.of([rng.integers(0, ITEMS, 3) for _ in range(60)])
    found, _ = top(model, histories, 1, 10, SearchConfig())
    assert (found[:, 0] == (histories.items[2::3] + 1) % ITEMS).mean() > 0.8


def test_the_papers_family_is_taught_its_one_target():
    torch.manual_seed(0)
    model = tiny_generator(FUSIONS["text"], items=ITEMS, family="paper", softmax="plain", dropout=0)
    rows = [[3, 5, 2, 4], [7, 1], [6, 9, 30]]
    log, replaced = Sequences.of(rows), Sequences.of([[*row[:-1], 8] for row in rows])
    places = torch.tensor([[0, 1, 2, 3], [4, 5, -1, -1], [6, 7, 8, -1]])
    teacher = listing([[8]] * 9, [[1.0]] * 9, 1.0)
    taught = NextItem(model, log, TRAINING, 0, teacher=teacher).loss(places)
    torch.testing.assert_close(taught, NextItem(model, replaced, TRAINING, 0).loss(places))


FITS = ("training.epochs=1", "training.teacher=0.5", "model.experts.epochs=1")


@pytest.mark.usefixtures("shown")
def test_experts_of_the_recipe_teach_and_are_trained_once(data, tiny, capsys):
    recipe = tiny("text", *FITS, "model.experts.views=[id, linear]", "training.teachers=[linear]")
    made = Recommender.fit(data, recipe)
    said = capsys.readouterr().err
    assert said.count("table linear: of") == 1
    assert said.count("expert id: matrices") == 1
    assert made.facts["teachers"]["weights"]["id"] == 0
    assert made.facts["teachers"]["weights"]["linear"] > 0
    assert made.facts["teachers"]["experts"] == {}


def test_an_interrupted_fit_lists_nothing_twice_neither_for_the_choice_nor_for_the_final_model(
    in_parts, data, tiny, tmp_path, monkeypatch
):
    recipe = tiny("text", *FITS, "training.teachers=[id]")
    whole = Recommender.fit(data, recipe, final=True)
    real, listed = Teachers._likeliest, []

    def counted(*args):
        listed.append(1)
        return real(*args)

    monkeypatch.setattr(Teachers, "_likeliest", counted)
    train = fitting.train
    for done in (0, 1):  # the training after the first lists is stopped, then that after the second
        monkeypatch.setattr(fitting, "train", interrupted(train, done))
        with pytest.raises(KeyboardInterrupt):
            Recommender.fit(data, recipe, out=tmp_path / "run", final=True)
    monkeypatch.setattr(fitting, "train", train)
    both = len(listed)
    made = Recommender.fit(data, recipe, out=tmp_path / "run", final=True)
    assert len(listed) == both
    for key, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(made.model.state_dict()[key], tensor)
    assert made.facts["teachers"]["seconds"] > 1e-3  # that it took when it was done
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_teachers_beside_the_recipe_leave_nothing_in_the_artifact(data, tiny, tmp_path):
    sizes = []
    for share in (0, 0.5):
        recipe = tiny(
            "text", *FITS, f"training.teacher={share}", "training.teachers=[id, text, linear]"
        )
        made = Recommender.fit(data, recipe, out=tmp_path / str(share))
        sizes.append((tmp_path / str(share) / "model.safetensors").stat().st_size)
        assert not (tmp_path / f"{share}.checkpoints").exists()
    assert sizes[0] == sizes[1]
    assert made.facts["teachers"]["experts"].keys() == {"id", "text", "linear"}
    parts = [made.facts["training"], made.facts["teachers"], made.facts["tables"]["linear"]]
    parts += made.facts["teachers"]["experts"].values()
    assert training_seconds(made.facts) == pytest.approx(sum(part["seconds"] for part in parts))


def test_training_for_serving_has_teachers_too(data, tiny):
    learned = []
    for share in (0, 0.9):
        recipe = tiny("text", *FITS, f"training.teacher={share}", "training.teachers=[id, linear]")
        made = Recommender.fit(data, recipe, final=True)
        learned.append(made.model.tokens.weight)
        assert set(made.facts["final"]["tables"]) == ({"linear"} if share else set())
    assert not torch.equal(*learned)


def test_training_for_serving_learns_what_its_teachers_say(data, tiny):
    learned = []
    for name in ("id", "linear"):
        recipe = tiny("text", *FITS, f"training.teachers=[{name}]")
        learned.append(Recommender.fit(data, recipe, final=True).model.tokens.weight)
    assert not torch.equal(*learned)


@pytest.mark.parametrize(
    ("teachers", "said"),
    [
        ("[sound]", "training.teachers: 'sound' is none of the recipe's"),
        ("[linear, linear]", "teachers: expected each named once"),
        ("[knn-]", "a modality behind 'knn-'"),
        ("[]", "at least 1 item"),
    ],
)
def test_teachers_that_cannot_be_are_refused_by_the_recipe(teachers, said):
    with pytest.raises(RecipeError, match=said):
        Recipe.named("text").override([f"training.teachers={teachers}"])


def test_a_teacher_that_nothing_shows_is_named(data, tiny):
    recipe = tiny("early", *FITS, "training.teachers=[text]", "model.history_embeddings=false")
    with pytest.raises(RecipeError, match="'text' of an expert or teacher: found neither"):
        Recommender.fit(data, recipe)
