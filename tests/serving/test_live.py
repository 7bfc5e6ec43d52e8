"""Versions: durable before they are seen, whole whenever anybody looks, and one after the other."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import mgrec
from mgrec import Recommender
from mgrec.errors import ArtifactError, DataError, RequestError
from mgrec.journal import locked
from mgrec.serving.live import Live
from tests.arrivals import arrivals

HISTORY = ["i00", "i05"]


@pytest.fixture(scope="module")
def new(data):
    return arrivals(data)


@pytest.fixture(scope="module")
def shop(new, tiny):
    return Recommender.fit(new.warm, tiny("late++", "training.epochs=1"))


@pytest.fixture
def run(shop, tmp_path) -> Path:
    shop.save(tmp_path / "RUN")
    return tmp_path / "RUN"


@pytest.fixture
def live(run) -> Live:
    return Live.open(run)


def everything(made: Recommender) -> list:
    return made.recommend(history=HISTORY, k=1000).items


def test_a_change_is_seen_at_once_and_by_whoever_opens(live, run, shop, new):
    assert live.version == 0
    change = live.add_items(new.items, embeddings=new.ready)
    assert (change.version, change.added, change.removed) == (1, len(new.items), 0)
    assert change.listed == shop.catalogue.n_items + len(new.items)
    assert set(new.ids) <= {item.item_id for item in everything(live.recommender)}
    assert live.remove_items(new.ids[:2]).version == 2
    assert not set(new.ids[:2]) & {item.item_id for item in everything(live.recommender)}
    for opened in (Live.open(run).recommender, mgrec.load(run), Recommender.load(run)):
        assert everything(opened) == everything(live.recommender)
    assert (run / "model.safetensors").stat().st_nlink == 1
    written = sum(file.stat().st_size for file in (run / "live").iterdir())
    assert written < 0.2 * (run / "model.safetensors").stat().st_size + 40_000


def test_a_rollback_returns_to_the_version_before_under_a_new_number(live, run, shop, new):
    first = everything(live.recommender)
    live.add_items(*new.some(0)[:1], embeddings=new.some(0)[1])
    second = everything(live.recommender)
    live.remove_items(["i01", *new.ids[:1]])
    undone = live.rollback()
    assert (undone.version, undone.added, undone.removed) == (3, 2, 0)
    assert everything(live.recommender) == second == everything(mgrec.load(run))
    assert live.rollback().removed == 1
    assert everything(live.recommender) == first == everything(mgrec.load(run))
    with pytest.raises(RequestError, match="nothing to roll back"):
        live.rollback()
    assert sorted(os.listdir(run / "live")) == ["journal.json", "lock"]  # noqa: PTH208
    assert live.add_items(new.items, embeddings=new.ready).version == 5


def test_many_changes_are_replayed_as_they_were_made(live, run, new):
    chance, there = random.Random(0), set()
    for _ in range(25):
        place = chance.randrange(len(new.ids))
        if new.ids[place] in there:
            live.remove_items([new.ids[place]])
            there.remove(new.ids[place])
        else:
            frame, ready = new.some(place)
            live.add_items(frame, embeddings=ready)
            there.add(new.ids[place])
        if chance.random() < 0.2:
            undone = live.rollback()
            there ^= {new.ids[place]}
            assert undone.version == live.version
    opened = Live.open(run)
    assert opened.version == live.version
    assert everything(opened.recommender) == everything(live.recommender)
    assert {i.item_id for i in everything(opened.recommender)} >= there
    assert (opened.recommender.catalogue.ids.tokens == live.recommender.catalogue.ids.tokens).all()


def test_another_process_finds_what_was_written_and_writes_after_it(live, run, new):
    other = Live.open(run)
    live.add_items(*new.some(0)[:1], embeddings=new.some(0)[1])
    assert other.version == 0
    assert other.refresh()
    assert not other.refresh()
    assert everything(other.recommender) == everything(live.recommender)
    live.remove_items(["i01"])
    assert other.remove_items(["i02"]).version == 3  # it has looked before it wrote
    with pytest.raises(DataError, match="already"):
        other.add_items(new.some(0)[0], embeddings=new.some(0)[1])
    live.rollback()
    assert live.rollback().version == 5
    assert other.refresh()
    assert other.recommender.catalogue.listed.all()


def test_items_added_by_two_at_once_are_refused_to_the_second(live, run, new):
    """The second has read the catalogue before the first wrote; it is checked again."""
    other = Live.open(run)
    frame, ready = new.some(0)
    live.add_items(frame, embeddings=ready)
    with pytest.raises(DataError, match="already"):
        other.add_items(frame, embeddings=ready)
    assert other.version == 1


def test_another_artifact_in_the_folder_voids_the_changes(live, run, shop, new, tiny):
    live.add_items(new.items, embeddings=new.ready)
    live.remove_items(["i01"])
    again = Recommender.fit(new.warm, tiny("late++", "training.epochs=1", "seed=1"))
    again.save(run)
    assert everything(mgrec.load(run)) == everything(again)
    assert live.refresh()
    assert everything(live.recommender) == everything(again)
    assert live.version == 3
    with pytest.raises(RequestError, match="nothing to roll back"):
        live.rollback()
    assert live.remove_items(["i01"]).version == 4
    assert len([*(run / "live").glob("*.safetensors")]) == 1
    live.recommender.save(run)  # what it has become, as an artifact of its own
    assert live.refresh()
    assert live.version == 5
    assert not live.recommender.catalogue.listed.all()


def test_nothing_changes_where_a_change_is_refused(live, run, new):
    before = sorted(run.rglob("*"))
    for attempt in (
        lambda: live.remove_items(["nobody"]),
        lambda: live.remove_items([]),
        lambda: live.add_items(new.warm.items[:1]),
        lambda: live.add_items(run / "nothing.jsonl"),
    ):
        with pytest.raises((DataError, RequestError)) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert live.version == 0
    assert [f for f in sorted(run.rglob("*")) if f.parent.name != "live" and f.name != "live"] == (
        before
    )


def test_a_folder_that_cannot_be_written_is_one_line_and_changes_nothing(live, run, new):
    (run / "live").write_text("in the way")
    with pytest.raises(ArtifactError, match="live: found a file, expected a folder"):
        live.remove_items(["i01"])
    assert live.version == 0
    assert live.recommender.catalogue.listed.all()


@pytest.mark.parametrize("damage", ["journal", "change", "gone"])
def test_damage_is_refused_by_name(live, run, new, damage):
    live.add_items(new.items, embeddings=new.ready)
    change = next((run / "live").glob("*.safetensors"))
    if damage == "journal":
        file = run / "live" / "journal.json"
        values = json.loads(file.read_text()) | {"version": 7}
        file.write_text(json.dumps(values))
    elif damage == "change":
        data = bytearray(change.read_bytes())
        data[len(data) // 2] ^= 1
        change.write_bytes(bytes(data))
    else:
        change.unlink()
    with pytest.raises(ArtifactError, match=r"corrupt|missing") as caught:
        Live.open(run)
    assert str(run / "live") in str(caught.value)


def test_readers_see_one_version_or_the_other(live, new):
    """Each version has its own number of items, and every answer is of one."""
    n = live.recommender.catalogue.n_items
    wrong, stop = [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            version, made = live.current
            answer = made.recommend(history=HISTORY, k=1000)
            if len(answer) != n + version or len(set(answer.item_ids)) != len(answer):
                wrong.append((version, len(answer)))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for place in range(len(new.items)):
        frame, ready = new.some(place)
        live.add_items(frame, embeddings=ready)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_who_waits_too_long_for_another_writer_is_told(run):
    with locked(run), pytest.raises(ArtifactError, match="another process"), locked(run, 0.05):
        pass


# A process that adds and removes items until it is killed, and says when it is at work.
WRITER = """
import sys
import numpy as np, polars as pl
from mgrec.serving.live import Live

live = Live.open(sys.argv[1])
dim = live.recommender.catalogue.vectors["text"].dim
count = live.recommender.catalogue.n_items
vector = {"text": (["warm"], np.ones((1, dim)))}  # what is used for the first time is slow
live.recommender.add_items(pl.DataFrame({"item_id": ["warm"]}), embeddings=vector)  # not saved
print("ready", flush=True)
while True:
    ids = [f"w{count + i}" for i in range(3)]
    count += 3
    live.add_items(pl.DataFrame({"item_id": ids}), embeddings={"text": (ids, np.eye(3, dim))})
    live.remove_items(ids[:1])
    if count % 4 == 0:
        live.rollback()
"""


class Writer:
    def __init__(self, run: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(run)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def killed(run: Path, times: int) -> Iterator[Live]:
    """Let writers be killed at random moments, and open what each left."""
    chance = random.Random(0)
    for _ in range(times):
        writer = Writer(run)
        time.sleep(chance.uniform(0.0, 0.3))
        writer.kill()
        yield Live.open(run)


def check_whole(opened: Live, before: int, items: int) -> None:
    """A version is as its changes say: three items come, one goes, and nothing in between."""
    assert opened.version >= before
    catalogue = opened.recommender.catalogue
    assert (catalogue.n_items - items) % 3 == 0
    gone = 0 if catalogue.removed is None else int(catalogue.removed.sum())
    assert gone <= (catalogue.n_items - items) // 3
    answer = everything(opened.recommender)
    assert len(answer) == catalogue.n_items - gone


def test_a_writer_killed_at_any_moment_leaves_a_whole_version(run, shop):
    version, items = 0, shop.catalogue.n_items
    for opened in killed(run, 3):
        check_whole(opened, version, items)
        version = opened.version
    begun = time.monotonic()  # nobody holds the lock of the dead
    assert Live.open(run).remove_items(["i01"]).version == version + 1
    assert time.monotonic() - begun < 10


@pytest.mark.slow
def test_a_hundred_killed_writers_leave_whole_versions(run, shop):
    version, items = 0, shop.catalogue.n_items
    for opened in killed(run, 10 if os.environ.get("MGREC_SLOW") == "short" else 100):
        check_whole(opened, version, items)
        version = opened.version
    assert version > 0


def test_two_writers_at_once_lose_nothing(run, shop):
    """Each adds items and removes one of its own; every change of either is kept."""
    # Without the rollbacks: they undo the last change, whoever made it.
    lone = WRITER[: WRITER.index("    if count")]
    code = lone.replace("while True:", "for _ in range(4):").replace('"w{', '"{sys.argv[2]}{')
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(run), name], stdout=subprocess.PIPE)
        for name in ("a", "b")
    ]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    opened = Live.open(run)
    assert opened.version == 2 * 4 * 2
    first = shop.catalogue.n_items
    ids = [f"{name}{first + i}" for name in ("a", "b") for i in range(12)]
    catalogue = opened.recommender.catalogue
    assert sorted(catalogue.items["item_id"][first:]) == sorted(ids)
    kept = set(catalogue.items["item_id"].filter(catalogue.listed)[first:])
    assert kept == {item for at, item in enumerate(ids) if at % 3}


def test_pictures_of_added_items_are_found_from_the_artifact(live, tmp_path):
    frame = pl.DataFrame({"item_id": ["p"], "image": ["p.png"]})
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "p.png").write_bytes(b"a picture")
    vectors = {"image": (["p"], [[0.5] * live.recommender.catalogue.vectors["image"].dim])}
    live.add_items(frame, embeddings=vectors, folder=tmp_path / "else")
    catalogue = live.recommender.catalogue
    assert catalogue.root is not None
    assert (catalogue.root / catalogue.items["image"][-1]).read_bytes() == b"a picture"


@pytest.mark.parametrize(
    "additions",
    [
        [{"brand": None}, {"brand": "Acme"}],
        [{"tags": []}, {"tags": ["red"]}],
        [{"tags": None}, {"tags": []}, {"tags": [1]}],
        [{"colour": "red"}, {}, {"colour": None, "size": 4}],
    ],
    ids=str,
)
def test_what_was_acknowledged_can_be_loaded_and_rolled_back(live, run, new, additions):
    for place, columns in enumerate(additions):
        frame, ready = new.some(place)
        rows = pl.DataFrame([frame.row(0, named=True) | columns], infer_schema_length=None)
        live.add_items(rows, embeddings=ready)
        opened = Live.open(run).recommender.catalogue.items
        assert opened.equals(live.recommender.catalogue.items)
        assert opened.schema == live.recommender.catalogue.items.schema
    for _ in additions:
        Live.open(run).rollback()
    assert mgrec.load(run).catalogue.n_items == new.warm.n_items


def test_an_item_that_another_writer_removed_may_come_back(run, new):
    other = Live.open(run)
    live = Live.open(run)
    rows, ready = new.some(0)
    live.add_items(rows, embeddings=ready)
    other.remove_items(rows["item_id"].to_list())
    assert live.add_items(rows, embeddings=ready).version == 3
    assert mgrec.load(run).catalogue.listed.all()


def test_a_second_writer_is_checked_against_what_the_first_wrote(live, run, new):
    other = Live.open(run)
    (first, ready), (second, more) = new.some(0), new.some(1)
    live.add_items(first.with_columns(weight=pl.lit(1)), embeddings=ready)
    with pytest.raises(DataError, match=r"column 'weight': found 'x', expected a whole number"):
        other.add_items(second.with_columns(weight=pl.lit("x")), embeddings=more)
    assert other.add_items(second.with_columns(weight=pl.lit(2.0)), embeddings=more).version == 2
    assert mgrec.load(run).catalogue.items["weight"][-2:].to_list() == [1, 2]


@pytest.mark.parametrize("writers", [1, 2])
def test_whole_numbers_of_a_new_column_become_fractions(live, run, new, writers):
    other = live if writers == 1 else Live.open(run)
    for place, (writer, weight) in enumerate(((live, 1), (other, 1.5), (other, 2))):
        rows, ready = new.some(place)
        writer.add_items(rows.with_columns(weight=pl.lit(weight)), embeddings=ready)
    assert mgrec.load(run).catalogue.items["weight"][-3:].to_list() == [1.0, 1.5, 2.0]
    Live.open(run).rollback()
    assert mgrec.load(run).catalogue.items["weight"][-2:].to_list() == [1.0, 1.5]
    Live.open(run).rollback()
    assert mgrec.load(run).catalogue.items["weight"][-1:].to_list() == [1]


def test_fractions_are_refused_where_a_whole_number_would_change(live, new):
    (first, ready), (second, more) = new.some(0), new.some(1)
    live.add_items(first.with_columns(weight=pl.lit(2**53 + 1)), embeddings=ready)
    with pytest.raises(DataError, match=r"column 'weight': found 1\.5, expected a whole number"):
        live.add_items(second.with_columns(weight=pl.lit(1.5)), embeddings=more)


def test_an_item_that_returns_has_the_columns_of_its_new_row(live, run, new):
    frame, ready = new.some(0)
    live.add_items(frame.with_columns(price=pl.lit(9.5)), embeddings=ready)
    live.remove_items(new.ids[:1])
    live.add_items(frame.drop("price"), embeddings=ready)
    for made in (live.recommender, mgrec.load(run)):
        row = made.catalogue.index_of(new.ids[:1])[0]
        assert made.catalogue.items["price"][int(row)] is None
