"""An artifact from anybody: whatever is in its folder, loading it is one line or a recommender."""

import hashlib
import io
import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load, save

import mgrec
from mgrec import Recommender
from mgrec.errors import ArtifactError, MgrecError
from mgrec.manifest import checksum
from mgrec.serving.live import Live
from tests.arrivals import arrivals

HISTORY = ["i00", "i05"]


@pytest.fixture(scope="module")
def new(data):
    return arrivals(data)


@pytest.fixture(scope="module")
def whole(new, tiny, tmp_path_factory) -> Path:
    """An artifact with experts, tables and two changes of its catalogue."""
    path = tmp_path_factory.mktemp("foreign") / "whole"
    views = "model.experts.views=[text,linear,knn-image]"
    made = Recommender.fit(new.warm, tiny("late++", views, "training.epochs=1"))
    made.save(path)
    live = Live.open(path)
    live.add_items(new.items, embeddings=new.ready)
    live.remove_items(["i01"])
    return path


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "RUN")


def reseal(run: Path) -> None:
    """Make manifest and journal name the files as they are, so that what lies deeper is read."""
    file = run / "manifest.json"
    values = json.loads(file.read_text())
    values.pop("checksum", None)
    values["files"] = {
        name: {"sha256": digest(run / name), "bytes": (run / name).stat().st_size}
        for name in values["files"]
        if (run / name).is_file()
    }
    file.write_text(json.dumps(values | {"checksum": checksum(values)}))
    reseal_journal(run)


def reseal_journal(run: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    file = run / "live" / "journal.json"
    values = json.loads(file.read_text())
    values.pop("checksum", None)
    values["base"] = digest(run / "manifest.json")
    for entry in values["entries"]:
        if (run / "live" / entry["file"]).is_file():
            entry["sha256"] = digest(run / "live" / entry["file"])
    change(values)
    file.write_text(json.dumps(values | {"checksum": checksum(values)}))


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def attempt(run: Path) -> str:
    """Load and use an artifact; return why it was refused, in one line, or nothing."""
    try:
        made = mgrec.load(run)
    except MgrecError as error:
        words = str(error)
        return words if "\n" not in words else pytest.fail(words)
    made.recommend(history=HISTORY, k=5)
    made.recommend(user="u000", k=5)
    return ""


def some(values: Iterator[Any], most: int) -> list[Any]:
    """Return a sample, the same in every run; all of them in `make test-slow`."""
    every = list(values)
    if os.environ.get("MGREC_FUZZ") == "all" or len(every) <= most:
        return every
    return random.Random(0).sample(every, most)


def files(run: Path) -> list[Path]:
    return sorted(f for f in run.rglob("*") if f.is_file() and f.name != "lock")


def damages(data: bytes, chance: random.Random) -> Iterator[bytes]:
    yield b""
    yield data[: len(data) // 2]
    yield data + b"\0"
    for _ in range(2):
        place = chance.randrange(len(data))
        yield data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]
    values = (b"null", b"[]", b"{}", b"1e999", b'"x"', b"[" * 100_000, b"\xff" * 64)
    yield from values if os.environ.get("MGREC_FUZZ") == "all" else chance.sample(values, 2)


def test_no_damaged_file_is_more_than_one_line(run):
    chance = random.Random(0)
    for file in files(run):
        before = file.read_bytes()
        for damage in damages(before, chance):
            file.write_bytes(damage)
            if file.name not in ("manifest.json", "journal.json"):
                reseal(run)
            attempt(run)
        file.unlink()
        assert attempt(run)
        file.write_bytes(before)
        reseal(run)
    assert attempt(run) == ""


def test_no_file_in_the_place_of_another_is_more_than_one_line(run):
    chance = random.Random(0)
    kinds = {f for f in files(run) if f.name not in ("manifest.json", "recipe.yaml")}
    for one in sorted(kinds):
        for other in sorted(kinds - {one}):
            if one.suffix != other.suffix or "journal.json" in (one.name, other.name):
                continue
            if os.environ.get("MGREC_FUZZ") != "all" and chance.random() > 0.1:
                continue
            before = one.read_bytes()
            one.write_bytes(other.read_bytes())
            reseal(run)
            attempt(run)
            one.write_bytes(before)
    reseal(run)
    assert attempt(run) == ""


def mutations(value: Any) -> Iterator[Any]:
    """Every document that differs from one in one place: a part of another type, or gone."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield {name: other for name, other in value.items() if name != key}
            for changed in mutations(part):
                yield value | {key: changed}
    elif isinstance(value, list) and value:
        yield value[:-1]
        yield [*value, value[-1]]
        for changed in mutations(value[0]):
            yield [changed, *value[1:]]
    yield from (None, "x", -1, 10**9, 1.5, [], {}, [None], True)


@pytest.mark.parametrize("name", ["layout.json", "run.json"])
def test_no_malformed_document_is_more_than_one_line(run, name):
    before = json.loads((run / name).read_bytes())
    for stage in ("training", "alignment", "experts", "tables"):
        before.pop(stage, None)  # their curves are read by reports alone
    for changed in some(mutations(before), 25):
        (run / name).write_text(json.dumps(changed))
        reseal(run)
        attempt(run)


def test_no_malformed_recipe_or_encoder_is_more_than_one_line(run):
    file = run / "manifest.json"
    before = json.loads(file.read_text())
    for field in ("recipe", "encoders", "seeds", "libraries", "facts", "fingerprint", "format"):
        changed = mutations(before[field])
        if field == "recipe":
            changed = (
                before["recipe"] | {"model": m} for m in mutations(before["recipe"]["model"])
            )
        for value in some(changed, 8):
            file.write_text(json.dumps(before | {field: value}))
            reseal(run)
            attempt(run)
    for encoders in ({"text": {}}, {"text": {"name": 1, "revision": "r", "dim": 3}}, {"x": {}}):
        file.write_text(json.dumps(before | {"encoders": encoders}))
        reseal(run)
        assert attempt(run)


def arrays_of(array: np.ndarray) -> Iterator[np.ndarray]:
    yield array[..., :-1] if array.ndim else array[None]
    yield np.concatenate([array, array]) if array.ndim else array
    yield array[None]
    yield np.zeros((0, *array.shape[1:]), array.dtype)
    yield array.astype(np.float64)
    yield array.astype(np.uint8)
    if array.dtype == bool:
        return
    if array.dtype.kind != "u":
        yield np.full_like(array, -5)
    large = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    yield np.full_like(array, large)
    if array.dtype.kind == "f":
        yield np.full_like(array, np.inf)


def test_no_malformed_array_is_more_than_one_line(run):
    for file in sorted(run.glob("*.safetensors")):
        if file.stem == "model" and os.environ.get("MGREC_FUZZ") != "all":
            continue
        before = file.read_bytes()
        length = int.from_bytes(before[:8], "little")
        kind = json.loads(before[8 : 8 + length])["__metadata__"]["format"]
        arrays = load(before)
        for name, array in arrays.items():
            for changed in some(arrays_of(array), 2):
                plain = np.ascontiguousarray(changed)
                file.write_bytes(save(arrays | {name: plain}, metadata={"format": kind}))
                reseal(run)
                attempt(run)
            file.write_bytes(save({k: v for k, v in arrays.items() if k != name}))
            reseal(run)
            attempt(run)
        file.write_bytes(before)
        reseal(run)
    assert attempt(run) == ""


def tables_of(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    yield table[:-1]
    yield pl.concat([table, table[:1]])
    yield table[:0]
    yield table.select(pl.all().reverse())
    for name in table.columns:
        yield table.drop(name)
        for part in (None, 1, "x", 1.5, [1], ["x"], [10**6], [-1], [None], {"a": 1}, True):
            yield table.with_columns(pl.lit(part, allow_object=False).alias(name))
        yield table.with_columns(pl.when(pl.int_range(pl.len()) > 0).then(pl.col(name)).alias(name))
    yield table.with_columns(more=pl.lit(1))
    yield pl.DataFrame()


@pytest.mark.parametrize("name", ["items.parquet", "users.parquet"])
def test_no_malformed_table_is_more_than_one_line(run, name):
    table = pl.read_parquet(run / name)
    for changed in some(tables_of(table), 20):
        changed.write_parquet(run / name)
        reseal(run)
        attempt(run)


def test_no_malformed_change_is_more_than_one_line(run):
    file = next((run / "live").glob("000001-*.safetensors"))
    before = file.read_bytes()
    length = int.from_bytes(before[:8], "little")
    notes = json.loads(before[8 : 8 + length])["__metadata__"]
    arrays = load(before)
    table = pl.read_parquet(io.BytesIO(arrays["items"].tobytes()))
    variants: list[tuple[dict, dict]] = []
    for changed in tables_of(table):
        out = io.BytesIO()
        changed.write_parquet(out)
        variants.append((arrays | {"items": np.frombuffer(out.getvalue(), np.uint8)}, notes))
    for name, array in arrays.items():
        variants += [(arrays | {name: a}, notes) for a in arrays_of(array)]
        variants.append(({k: v for k, v in arrays.items() if k != name}, notes))
    for key in notes:
        variants += [(arrays, notes | {key: text}) for text in ("", "[]", "1", '"x"', "{}", "[[]]")]
        variants.append((arrays, {k: v for k, v in notes.items() if k != key}))
    for parts, words in some(iter(variants), 40):
        plain = {k: np.ascontiguousarray(v) for k, v in parts.items()}
        file.write_bytes(save(plain, metadata=words))
        reseal(run)
        attempt(run)


@pytest.mark.parametrize(
    "entry",
    [
        {"file": "../../secret"},
        {"file": "/dev/zero"},
        {"file": "journal.json"},
        {"file": "000001-zzzzzzzz.safetensors"},
        {"file": 3},
        {"added": -1},
        {"added": True},
        {"sha256": None},
        {"more": 1},
    ],
)
def test_a_journal_cannot_name_anything_but_a_change(run, entry):
    reseal_journal(run, lambda values: values["entries"][0].update(entry))
    assert attempt(run)


def test_a_journal_that_is_gone_is_not_the_artifact_as_it_was_fitted(run):
    (run / "live" / "journal.json").unlink()
    assert "journal.json: missing, though 2 changes exist, such as 00000" in attempt(run)


SPECIAL = {
    "fifo": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
    "socket": lambda path, _: socket.socket(socket.AF_UNIX).bind(str(path)),
    "link": lambda path, before: path.symlink_to(before),
    "link to a device": lambda path, _: path.symlink_to("/dev/zero"),
    "link to nothing": lambda path, _: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_of_the_folder_are_read(run, tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    for file in [f.relative_to(tmp_path) for f in files(run)]:
        if file.name == "recipe.yaml":
            continue
        before = file.rename(tmp_path / "aside")
        SPECIAL[kind](file, before)
        assert attempt(run), file
        file.rmdir() if kind == "folder" else file.unlink()
        before.rename(file)
    assert attempt(run) == ""


@pytest.mark.parametrize("name", ["live", "uploads", "previous"])
def test_a_folder_of_an_artifact_is_no_link(run, tmp_path, name):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("mine")
    shutil.rmtree(run / name, ignore_errors=True)
    (run / name).symlink_to(home)
    assert f"{name}: found a link, expected a folder" in attempt(run)
    with pytest.raises(MgrecError, match="found a link"):
        Live.open(run).remove_items(["i02"])
    assert (home / "thesis.txt").read_text() == "mine"


def test_what_a_change_cannot_delete_does_not_undo_it(run):
    (run / "live" / "000009-0123abcd.safetensors").mkdir()
    (run / "live" / "notes").mkdir()
    (run / "live" / "mine.txt").write_text("mine")
    live = Live.open(run)
    assert live.remove_items(["i02"]).version == 3
    assert live.rollback().version == 4
    assert (run / "live" / "mine.txt").read_text() == "mine"


def test_a_link_for_the_lock_is_not_followed(run, tmp_path):
    (run / "live" / "lock").unlink()
    (run / "live" / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError):
        Live.open(run).remove_items(["i02"])
    assert not (tmp_path / "elsewhere").exists()


def test_a_small_table_cannot_promise_many_rows(run):
    rows = 1 << 22
    frame = pl.DataFrame({"item_id": pl.repeat("x", rows, eager=True)})
    frame.write_parquet(run / "items.parquet", row_group_size=rows)
    assert (run / "items.parquet").stat().st_size < 10_000
    reseal(run)
    assert "rows, expected at most" in attempt(run)


@pytest.mark.parametrize(
    "settings",
    [{"dim": 10**7}, {"hidden": 10**9}, {"layers": 10**6}, {"history": 10**9}, {"heads": 10**6}],
)
def test_a_recipe_cannot_ask_for_more_than_the_weights_are(run, settings):
    file = run / "manifest.json"
    values = json.loads(file.read_text())
    values["recipe"]["model"] |= settings
    file.write_text(json.dumps(values))
    reseal(run)
    assert attempt(run)
