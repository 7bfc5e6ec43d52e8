"""Targets from a teacher: drawn as its table says, from the past alone, and learned."""

import numpy as np
import pytest
import torch

from mgrec import Recommender
from mgrec.data.sequences import Sequences
from mgrec.model.neighbours import Table
from mgrec.model.next_item import NextItem
from mgrec.model.teacher import Teacher
from mgrec.model.training import train
from mgrec.recipe import SearchConfig, TrainingConfig
from mgrec.search.ranking import top
from tests.planted import FUSIONS, tiny_generator

TRAINING = TrainingConfig(targets=128, learning_rate=1e-2, warmup=10, precision="float32")


def table_of(strength):
    """The table of a matrix [items, items]: how strongly each is followed by each."""
    n = len(strength)
    return Table.of_rows(n, torch.arange(n), torch.arange(n).expand(n, n), strength)


def taught(teacher, windows):
    """Every place's target, int64 [rows, n - 1], -1 where there is padding."""
    real = windows[:, 1:] >= 0
    return windows[:, 1:].masked_scatter(real, teacher.targets(windows, real))


def test_draws_are_as_frequent_as_the_table_says():
    torch.manual_seed(0)
    strength = torch.rand(6, 6) * (torch.rand(6, 6) < 0.6)
    strength[3] = 0  # leads nowhere
    windows = torch.tensor([[0, 3, 4, 1, 5]])
    found = taught(Teacher(table_of(strength), 1.0), windows.expand(40_000, -1))
    for place in range(4):
        wanted = torch.zeros(6)
        for age, item in enumerate(windows[0, : place + 1].tolist()[::-1]):
            wanted += (np.exp(-age / 2) * strength[item]) ** 2
        frequency = found[:, place].bincount(minlength=6) / len(found)
        torch.testing.assert_close(frequency, wanted / wanted.sum(), atol=0.012, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_targets_is_drawn_and_padding_stays(share):
    torch.manual_seed(0)
    leads = torch.zeros(9, 9)
    leads[:8, 8] = 1  # wherever a history stands: to what no history holds
    windows = torch.randint(8, (500, 12))
    windows[::2, 5:] = -1
    found = taught(Teacher(table_of(leads), share), windows)
    drawn = found == 8
    assert torch.equal(found[~drawn], windows[:, 1:][~drawn])
    assert not drawn[windows[:, 1:] < 0].any()
    assert drawn.sum() / (windows[:, 1:] >= 0).sum() == pytest.approx(share, abs=0.03)


def test_where_the_table_knows_nothing_the_log_is_believed():
    windows = torch.randint(9, (20, 6))
    assert torch.equal(taught(Teacher(Table.empty(9), 0.99), windows), windows[:, 1:])


def test_what_comes_later_is_not_looked_at():
    teacher = Teacher(table_of(torch.rand(30, 30)), 1.0)
    windows = torch.randint(30, (50, 10))
    other = windows.clone()
    other[:, 5:] = torch.randint(30, (50, 5))  # the fifth place's own target too
    found = []
    for batch in (windows, other):
        torch.manual_seed(1)
        found.append(taught(teacher, batch)[:, :5])
    assert torch.equal(*found)


def test_what_the_teacher_says_is_learned():
    torch.manual_seed(0)
    model = tiny_generator(items=40)
    rng = np.random.default_rng(0)
    noise = Sequences.of([rng.integers(0, 40, 9) for _ in range(120)])
    teacher = Teacher(table_of(torch.eye(40).roll(1, dims=1)), 0.9)
    train(NextItem(model, noise, TRAINING, 0, teacher=teacher), TRAINING, epochs=12, seed=0)
    histories = Sequences.of([rng.integers(0, 40, 3) for _ in range(60)])
    found, _ = top(model, histories, 1, 10, SearchConfig())
    assert (found[:, 0] == (histories.items[2::3] + 1) % 40).mean() > 0.8


def test_the_papers_family_is_taught_its_one_target():
    torch.manual_seed(0)
    model = tiny_generator(FUSIONS["text"], items=40, family="paper", softmax="plain", dropout=0)
    leads = torch.zeros(40, 40)
    leads[:, 8] = 1
    teacher = Teacher(table_of(leads), 1.0)
    windows = torch.tensor([[3, 5, 2, 4], [7, 1, -1, -1], [6, 9, 30, -1]])
    replaced = torch.tensor([[3, 5, 2, 8], [7, 8, -1, -1], [6, 9, 8, -1]])
    log = Sequences.of([])
    taught = NextItem(model, log, TRAINING, 0, teacher=teacher).loss(windows)
    torch.testing.assert_close(taught, NextItem(model, log, TRAINING, 0).loss(replaced))


def test_a_table_that_teacher_and_expert_want_is_made_once(data, tiny, capsys):
    recipe = tiny(
        "text",
        "training.teacher=0.5",
        "training.epochs=1",
        "model.experts.views=[linear]",
    )
    made = Recommender.fit(data, recipe)
    assert capsys.readouterr().err.count("table linear: of") == 1
    assert made.facts["tables"]["linear"]["seconds"] > 0
    assert made.model.experts["linear"].strength.any()


def test_without_an_expert_a_teacher_leaves_nothing_in_the_artifact(data, tiny, tmp_path):
    sizes = []
    for share in (0, 0.5):
        recipe = tiny("text", f"training.teacher={share}", "training.epochs=1")
        made = Recommender.fit(data, recipe)
        made.save(tmp_path / str(share))
        sizes.append((tmp_path / str(share) / "model.safetensors").stat().st_size)
    assert sizes[0] == sizes[1]


def test_training_for_serving_has_a_teacher_too(data, tiny):
    learned = []
    for share in (0, 0.9):
        recipe = tiny("text", f"training.teacher={share}", "training.epochs=1")
        made = Recommender.fit(data, recipe, final=True)
        learned.append(made.model.tokens.weight)
        assert set(made.facts["final"]["tables"]) == ({"linear"} if share else set())
    assert not torch.equal(*learned)
