"""Files that are no files, unpack without end or nest without end: one line, and no waiting."""

import gzip
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mgrec.conversion import convert_amazon
from mgrec.data import files, npz, tables
from mgrec.data.dataset import Dataset
from mgrec.errors import DataError

ITEMS = '{"item_id": 1}\n{"item_id": 2}\n'
LOG = "u 1 2\nv 2 1\n"


def refusal(read, *args, **settings) -> str:
    with pytest.raises(DataError) as error:
        read(*args, **settings)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    return str(error.value)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "items.jsonl").write_text(ITEMS)
    (tmp_path / "sequences.txt").write_text(LOG)
    (tmp_path / "embeddings").mkdir()
    return tmp_path


SPECIAL = {
    "a link to a file that does not exist": lambda path: path.symlink_to("nowhere"),
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["items.jsonl", "sequences.txt", "items.csv.gz", "items.parquet"])
def test_what_is_no_regular_file_is_refused(folder, name, kind):
    if kind == "a folder" and name == "items.parquet":
        kind = "a folder without files"
    stem = name.split(".")[0]
    next(folder.glob(f"{stem}.*")).unlink()
    make = SPECIAL.get(kind, Path.mkdir)
    make(folder / name)
    message = refusal(Dataset.read, folder)
    assert name in message
    assert kind in message


@pytest.mark.parametrize("kind", SPECIAL)
def test_an_embedding_that_is_no_regular_file_is_refused(folder, kind):
    SPECIAL[kind](folder / "embeddings" / "text.npz")
    message = refusal(Dataset.read, folder)
    assert "embeddings/text.npz" in message
    assert kind in message


def test_embeddings_that_are_no_folder_are_refused(folder):
    (folder / "codes").write_text("")
    assert "codes: found a file, expected a folder" in refusal(Dataset.read, folder)
    (folder / "codes").unlink()
    (folder / "codes").symlink_to("nowhere")
    assert "codes: found a link to nothing" in refusal(Dataset.read, folder)


@pytest.mark.parametrize("name", ["items.csv.gz", "items.jsonl.gz", "sequences.txt.gz"])
def test_a_file_that_unpacks_to_too_much_is_refused(folder, name):
    next(folder.glob(f"{name.split('.')[0]}.*")).unlink()
    (folder / name).write_bytes(gzip.compress(bytes(files.ALWAYS + 1), 1))
    assert f"{name}: unpacks from" in refusal(Dataset.read, folder)


def test_a_limit_may_be_lowered(tmp_path):
    (tmp_path / "a.csv").write_text("item_id\n1\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"item_id\n1\n"))
    for name in ("a.csv", "b.csv.gz"):
        assert "expected at most 5 bytes" in refusal(tables.read, tmp_path / name, limit=5)
        assert len(tables.read(tmp_path / name, limit=10)) == 1


def test_packed_data_under_a_plain_name_is_refused(folder):
    (folder / "items.jsonl").write_bytes(gzip.compress(ITEMS.encode()))
    assert "items.jsonl: found gzip data" in refusal(Dataset.read, folder)


def test_a_parquet_file_of_too_many_rows_is_refused(tmp_path):
    rows = pl.select(item_id=pl.repeat(1, 1_000_000))
    rows.write_parquet(tmp_path / "items.parquet")
    assert (tmp_path / "items.parquet").stat().st_size < 100_000
    message = refusal(tables.read, tmp_path / "items.parquet", limit=1_000_000)
    assert "1,000,000 rows" in message


def packed(path: Path, shape: tuple[int, ...], size: int, how: int = zipfile.ZIP_DEFLATED) -> None:
    """Write an .npz whose emb says one shape and has another size."""
    ids, header = io.BytesIO(), io.BytesIO()
    np.save(ids, np.array([1, 2]))
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("item_id.npy", ids.getvalue())
        archive.writestr("emb.npy", header.getvalue() + bytes(size))


def test_arrays_that_unpack_to_too_much_are_refused(tmp_path):
    packed(tmp_path / "a.npz", (2, 1 << 24), 1 << 27)
    message = refusal(npz.load, tmp_path / "a.npz", "emb", "a.npz")
    assert "emb takes 128 MiB in memory" in message


def test_arrays_shorter_than_they_say_are_refused(tmp_path):
    packed(tmp_path / "a.npz", (2, 1 << 40), 100, zipfile.ZIP_STORED)
    message = refusal(npz.load, tmp_path / "a.npz", "emb", "a.npz")
    assert "emb is shorter than its header says" in message


@pytest.mark.parametrize("deep", [65, 1_000, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_json_that_is_nested_deeply_is_refused(folder, deep, left, right):
    (folder / "items.jsonl").write_text(
        f'{ITEMS}{{"item_id": 3, "x": {left * deep}1{right * deep}}}'
    )
    assert "items.jsonl, line 3" in (message := refusal(Dataset.read, folder))
    assert "nested over 64 deep" in message


def test_brackets_in_text_are_not_nesting(folder):
    (folder / "items.jsonl").write_text(
        '{"item_id": 1, "x": "%s\\""}\n{"item_id": 2}' % ("[" * 999)
    )
    assert len(Dataset.read(folder).items["x"][0]) == 1000


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("items.jsonl", ITEMS + '{"item_id": 3, "price": 1e999}', "items.jsonl, line 3"),
        ("items.csv", "item_id,price\n1,2\n\n2,1e999\n", "items.csv, line 4, column 'price'"),
        ("interactions.csv", "user_id,item_id,weight\n1,1,-1e999\n", "line 2, column 'weight'"),
    ],
)
def test_numbers_beyond_floats_are_refused(folder, name, text, said):
    old = "sequences.txt" if name.startswith("inter") else "items.jsonl"
    (folder / old).unlink()
    (folder / name).write_text(text)
    assert said in refusal(Dataset.read, folder)


def test_the_files_of_a_conversion_are_refused_alike(tmp_path):
    review = '{"reviewerID": "U", "asin": "B", "unixReviewTime": 5}\n'
    (tmp_path / "r").write_text(review)
    (tmp_path / "m").write_text('{"asin": "B"}\n')
    os.mkfifo(tmp_path / "p")
    for reviews, meta in (("p", "m"), ("r", "p")):
        message = refusal(convert_amazon, tmp_path / reviews, tmp_path / meta, tmp_path / "out")
        assert "p: found a pipe" in message
    (tmp_path / "r").write_bytes(gzip.compress((review + "x" * (1 << 25)).encode()))
    assert "r, line 2" in refusal(convert_amazon, tmp_path / "r", tmp_path / "m", tmp_path / "out")
