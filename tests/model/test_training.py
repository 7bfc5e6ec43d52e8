"""Training: it learns what is planted, resumes exactly, and repeats to the byte."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from mgrec.configs import AlignmentConfig, SearchConfig, TrainingConfig
from mgrec.data.sequences import Sequences
from mgrec.ids.semantic_ids import build
from mgrec.model.alignment import Alignment
from mgrec.model.checkpoint import Checkpoint
from mgrec.model.generator import Generator
from mgrec.model.next_item import NextItem, bucketed, sliding, tiled
from mgrec.model.training import train
from mgrec.search.ranking import top
from tests.planted import FUSIONS, random_codes, tiny_generator, tiny_model, walks

TRAINING = TrainingConfig(targets=128, learning_rate=1e-2, warmup=10, precision="float32")


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("fusion", "fields"),
    [
        ("late++", {}),
        ("late++", {"softmax": "plain"}),
        ("late++", {"experts": {"views": ["id", "text"], "shared": True}}),
        ("text", {"family": "paper", "softmax": "plain", "dim": 32, "history": 2, "dropout": 0}),
    ],
    ids=["default", "plain", "experts", "paper"],
)
def test_every_family_learns_which_item_follows(fusion, fields):
    torch.manual_seed(0)
    model = tiny_generator(FUSIONS[fusion], items=40, **fields)
    train(NextItem(model, walks(40), TRAINING, seed=0), TRAINING, epochs=20, seed=0)
    histories = Sequences.of([[i, i + 1, i + 2] for i in range(30)])
    found, _ = top(model, histories, 1, 10, SearchConfig())
    assert (found[:, 0] == np.arange(30) + 3).mean() > 0.8


def test_windows_hold_every_target_once():
    log = Sequences.of([np.arange(n) for n in (1, 2, 5, 6, 17, 40)])
    expected = sorted(i for n in (2, 5, 6, 17, 40) for i in range(1, n))
    for seed in range(5):
        windows = tiled(log, 5, np.random.default_rng(seed))
        assert windows.lengths.max() <= 6
        assert all((np.diff(row) == 1).all() for row in windows)
        assert sorted(i for row in windows for i in row[1:].tolist()) == expected
    examples = sliding(log, 5)
    assert sorted(row[-1] for row in examples) == expected
    assert all(len(row) == min(row[-1], 5) + 1 for row in examples)


def test_batches_hold_every_window_once_and_keep_to_their_size():
    windows = Sequences.of([np.arange(1 + n % 9) + 100 * n for n in range(300)])
    batches = bucketed(windows, windows.lengths, 64, np.random.default_rng(0))
    rows = [row[row >= 0].tolist() for batch in batches for row in batch]
    assert sorted(map(tuple, rows)) == sorted(tuple(row.tolist()) for row in windows)
    assert max(int((batch >= 0).sum()) for batch in batches) <= 64 + 9


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    def run(seed):
        torch.manual_seed(seed)
        model = tiny_generator(items=40)
        train(NextItem(model, walks(40), TRAINING, seed), TRAINING, epochs=2, seed=seed)
        return weights(model)

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


class Slope:
    """A task whose gradient never changes, so that every step is as long as the rate."""

    name = "slope"

    def __init__(self, batches):
        self.module = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
        self.n, self.seen = batches, []

    def batches(self, epoch):
        return [torch.zeros(1)] * self.n

    def loss(self, batch):
        self.seen.append(self.module.weight.item())
        return self.module.weight.sum()


@pytest.mark.parametrize("cooldown", [0.0, 0.25, 1.0])
def test_the_rate_rises_stays_and_falls_to_nothing_as_asked(cooldown):
    config = TrainingConfig(
        warmup=4, cooldown=cooldown, learning_rate=0.1, weight_decay=0, precision="float32"
    )
    task = Slope(batches=10)
    train(task, config, epochs=4, seed=0)
    steps = -np.diff([*task.seen, task.module.weight.item()])
    done = np.arange(40) / 40
    falls = np.minimum(1, (1 - done) / cooldown) if cooldown else 1
    rises = np.minimum(1, np.arange(1, 41) / 4)
    assert steps == pytest.approx(0.1 * rises * falls, rel=1e-5)


def test_a_shorter_training_keeps_the_course_of_the_one_that_was_planned():
    config = TrainingConfig(
        warmup=0, cooldown=0.5, learning_rate=0.1, weight_decay=0, precision="float32"
    )
    task = Slope(batches=10)
    train(task, config, epochs=3, planned=4, seed=0)
    steps = -np.diff([*task.seen, task.module.weight.item()])
    assert steps == pytest.approx(0.1 * np.minimum(1, (1 - np.arange(30) / 40) / 0.5), rel=1e-5)


@pytest.mark.parametrize(("cooldown", "last"), [(0.0, 2), (0.5, 4), (1.0, 2)])
def test_patience_waits_for_the_cooldown(cooldown, last):
    config = TrainingConfig(cooldown=cooldown, patience=1, evaluate_every=1, precision="float32")
    done = train(Slope(batches=2), config, epochs=8, seed=0, evaluate=lambda: {"NDCG@10": 0.5})
    assert done.epoch == last


def test_time_that_is_over_ends_an_epoch_and_is_counted_as_the_part_that_it_is():
    torch.manual_seed(0)
    model = tiny_generator(items=40)
    config = TRAINING.model_copy(update={"minutes": 1e-9, "targets": 16, "evaluate_every": 5})
    task = NextItem(model, walks(40), config, seed=0)
    done = train(task, config, epochs=9, seed=0, evaluate=lambda: {"NDCG@10": 0.5})
    assert done.finished
    assert done.step == 1
    assert [entry["epoch"] for entry in done.curve] == [1 / len(task.batches(0))]
    assert done.curve[0]["NDCG@10"] == 0.5  # what there is, is measured


def test_the_best_epoch_on_validation_is_kept(tmp_path):
    torch.manual_seed(0)
    model = tiny_generator(items=40)
    seen = []

    def evaluate():
        seen.append(weights(model).clone())
        return {"NDCG@10": [0.1, 0.3, 0.2, 0.1][len(seen) - 1]}

    config = TRAINING.model_copy(update={"evaluate_every": 1, "patience": 2})
    done = train(NextItem(model, walks(40), config, 0), config, epochs=9, seed=0, evaluate=evaluate)
    assert len(seen) == 4
    assert done.best == 0.3
    assert torch.equal(weights(model), seen[1])


RUN = textwrap.dedent("""
    import sys, time, torch
    from pathlib import Path
    from mgrec.model.checkpoint import Checkpoint
    from mgrec.model.next_item import NextItem
    from mgrec.model.teacher import Teacher
    from mgrec.model.training import train
    from mgrec.configs import TrainingConfig
    from tests.planted import tiny_generator, walks

    torch.set_num_threads(1)
    folder, slow = Path(sys.argv[1]), float(sys.argv[2])
    config = TrainingConfig(
        targets=64,
        warmup=5,
        cooldown=0.5,
        checkpoint_seconds=0,
        evaluate_every=1,
        precision="float32",
    )
    torch.manual_seed(0)
    model = tiny_generator(items=40)
    places = len(walks(40).items)
    items, chance = torch.randint(40, (places, 8)).int(), torch.rand(places, 8).half()
    teacher = Teacher(items, chance, 0.5)
    task = NextItem(model, walks(40), config, 0, teacher=teacher)
    step = task.loss

    def loss(batch):
        time.sleep(slow)
        return step(batch)

    task.loss = loss
    score = lambda: {"NDCG@10": float(sum(p.abs().sum() for p in model.parameters())) % 1}
    train(task, config, epochs=4, seed=0, evaluate=score, checkpoint=Checkpoint(folder, "me"))
    total = torch.cat([p.detach().flatten() for p in model.parameters()])
    print(total.numpy().tobytes().hex()[:4000], float(total.sum()))
""")


def finish(folder):
    command = [sys.executable, "-c", RUN, str(folder), "0"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("moments", [(0.4, 0.5, 0.7)])
def test_a_run_killed_at_any_moment_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path, moments
):
    expected = finish(tmp_path / "whole")
    killed = 0
    for after in moments:
        run = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / "killed"), "0.03"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # The import takes its time; count from the first checkpoint on.
        while not list((tmp_path / "killed").glob("*.safetensors")) and run.poll() is None:
            pass
        try:
            run.wait(after)
        except subprocess.TimeoutExpired:
            os.kill(run.pid, signal.SIGKILL)
            killed += 1
            run.wait()
    assert killed
    assert finish(tmp_path / "killed") == expected


def test_a_finished_run_is_not_trained_again(tmp_path):
    checkpoint = Checkpoint(tmp_path, "me")

    def run():
        torch.manual_seed(0)
        model = tiny_generator(items=40)
        task = NextItem(model, walks(40), TRAINING, 0)
        done = train(task, TRAINING, epochs=2, seed=0, checkpoint=checkpoint)
        return weights(model), done.step

    first, steps = run()
    again, same = run()
    assert torch.equal(first, again)
    assert steps == same


def paired_codes(items=120):
    """Text and image codes that determine each other: image code = (text code + 3) mod 8."""
    text = random_codes(items, (8,), missing=0, seed=5)
    image = random_codes(items, (8,), missing=0.2, seed=6)
    image.codes[:, 0] = (text.codes[:, 0] + 3) % 8
    return build({"text": text, "image": image}, FUSIONS["late++"])


@pytest.mark.parametrize(("contrastive", "generative"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("family", ["default", "paper"])
def test_alignment_learns_which_blocks_belong_together(family, contrastive, generative):
    torch.manual_seed(0)
    ids = paired_codes()
    softmax = "legal" if family == "default" else "plain"
    model = Generator(tiny_model(family=family, softmax=softmax, dropout=0.0), ids, {})
    config = AlignmentConfig(contrastive=contrastive, generative=generative, batch=64)
    task = Alignment(model, config, seed=0)
    assert len(task.items) == int(ids.has_block("image").sum())
    done = train(task, TRAINING, epochs=40, seed=0)
    assert done.curve[-1]["loss"] < 0.3 * done.curve[0]["loss"]
    items = task.items[:40]
    with torch.inference_mode():
        contexts = {m: task.read(items, m) for m in ("text", "image")}
        if contrastive:
            pooled = {m: task.pooled(contexts[m], m) for m in contexts}
            best = (pooled["text"] @ pooled["image"].T).argmax(1)
            blocks = ids.tokens[items.numpy()][:, ids.block("image")[0]]
            assert (blocks[best.numpy()] == blocks).mean() > 0.9
        if generative:
            assert float(task.generate(contexts["text"], "image", items)) < 0.3


def test_alignment_on_during_training_takes_items_of_the_whole_catalogue():
    alignment = Alignment(tiny_generator(items=40), AlignmentConfig(batch=4), seed=0)
    able = set(alignment.items.tolist())
    drawn = [alignment.sample(torch.arange(40).repeat(2)).tolist() for _ in range(200)]
    assert all(len(set(items)) == 4 and able.issuperset(items) for items in drawn)
    assert set().union(*drawn) == able
    few = alignment.items[-3:]
    assert sorted(alignment.sample(few.repeat(2)).tolist()) == few.tolist()


@pytest.mark.parametrize("items", [3, 5])
def test_alignment_with_one_item_left_for_the_last_batch(items):
    text, image = random_codes(items, (8,), missing=0), random_codes(items, (8,), missing=0)
    model = Generator(tiny_model(), build({"text": text, "image": image}, FUSIONS["late++"]), {})
    task = Alignment(model, AlignmentConfig(batch=2), seed=0)
    assert [len(batch) for batch in task.batches(0)][-1] == 1
    done = train(task, TRAINING, epochs=2, seed=0)
    assert all(np.isfinite(entry["loss"]) for entry in done.curve)


@pytest.mark.slow
def test_alignment_on_during_training_teaches_which_blocks_belong_together():
    torch.manual_seed(0)
    ids = paired_codes()
    model = Generator(tiny_model(dropout=0.0), ids, {})
    alignment = Alignment(model, AlignmentConfig(batch=16), seed=0)
    items = alignment.items

    def told() -> tuple[float, float]:
        with torch.inference_mode():
            contexts = {m: alignment.read(items, m) for m in ("text", "image")}
            pooled = {m: alignment.pooled(contexts[m], m) for m in contexts}
            best = (pooled["text"] @ pooled["image"].T).argmax(1)
            blocks = ids.tokens[items.numpy()][:, ids.block("image")[0]]
            written = alignment.generate(contexts["text"], "image", items)
            return float((blocks[best.numpy()] == blocks).mean()), float(written)

    assert told()[0] < 0.5
    task = NextItem(model, walks(len(ids.tokens)), TRAINING, 0, (alignment, 1.0))
    train(task, TRAINING, epochs=30, seed=0)
    found, written = told()
    assert found > 0.9
    assert written < 0.3
