"""Ready-made arrays in every form, and the files of a folder that nothing reads."""

import gzip
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from mgrec.data.dataset import Dataset
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import DataError

IDS = ["b", "a", "d", "c"]
VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
ITEMS = pl.DataFrame({"item_id": IDS})
LOG = pl.DataFrame({"user_id": [1], "item_id": ["a"]})
FRAME = pl.DataFrame({"item_id": IDS[::-1], "emb": VECTORS[::-1]})


def folder(root, **files):
    (root / "items.csv").write_text("item_id,title\n" + "\n".join(f"{i},T {i}" for i in IDS))
    (root / "sequences.txt").write_text("u a b c")
    for name in ("embeddings", "codes"):
        (root / name).mkdir()
    for name, write in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        write(path)
    return root


def npy(array, gz=False):
    def write(path):
        np.save(path.with_name("x.npy"), array, allow_pickle=True)
        data = path.with_name("x.npy").read_bytes()
        path.with_name("x.npy").unlink()
        path.write_bytes(gzip.compress(data) if gz else data)

    return write


def unread(data):
    return [line for line in data.notes.warnings if "not read" in line]


@pytest.mark.parametrize(
    "files",
    [
        {"embeddings__text_npy": npy(VECTORS)},
        {"embeddings__text_npy_gz": npy(VECTORS, gz=True)},
        {"embeddings__text_npy": npy(np.asfortranarray(VECTORS.astype(float)))},
        {"embeddings__text_npz": lambda p: np.savez(p, item_id=np.array(IDS), emb=VECTORS)},
        {"embeddings__text_parquet": FRAME.write_parquet},
        {
            "embeddings__text_parquet": FRAME.with_columns(
                pl.col("emb").cast(pl.List(pl.Float64))
            ).write_parquet
        },
    ],
)
def test_arrays_are_read_from_every_kind_of_file(tmp_path, files):
    data = Dataset.read(folder(tmp_path, **files))
    assert (data.embeddings["text"].vectors == VECTORS).all()
    assert data.source_of("text", "auto") == "embeddings"
    assert not unread(data)


def test_codes_are_read_from_every_kind_of_file(tmp_path):
    values = np.array([[1, 2], [3, 4], [5, 6], [7, 8]])
    frame = pl.DataFrame({"item_id": IDS, "codes": values.tolist(), "other": [[0]] * 4})
    data = Dataset.read(
        folder(tmp_path, codes__text_npy=npy(values), codes__image_parquet=frame.write_parquet)
    )
    assert (data.codes["text"].codes == values).all()
    assert (data.codes["image"].codes == values).all()


def test_an_item_whose_list_is_null_has_no_vector(tmp_path):
    frame = pl.DataFrame({"item_id": IDS[:3], "emb": [[1.0, 2.0], None, [3.0, 4.0]]})
    data = Dataset.read(folder(tmp_path, embeddings__text_parquet=frame.write_parquet))
    assert data.embeddings["text"].present.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"embeddings__text_npy": npy(VECTORS[:3])},
            ["embeddings/text.npy", "[3, 3]", "one row for each item", "order of items.csv"],
        ),
        ({"embeddings__text_npy": npy(VECTORS[0])}, ["embeddings/text.npy", "shape [3]"]),
        ({"embeddings__text_npy": npy(np.full((4, 3), np.nan))}, ["text.npy, row 1: found nan"]),
        ({"embeddings__text_npy": npy(np.full((4, 3), 3e37))}, ["row 1", "3e+37", "up to 1e+15"]),
        ({"embeddings__text_npy": npy(np.ones((4, 3), int))}, ["int64 values, expected floats"]),
        (
            {"embeddings__text_npy": npy(np.array([object()] * 4))},
            ["embeddings/text.npy", "pickled objects inside"],
        ),
        ({"embeddings__text_npy": lambda p: p.write_bytes(b"x")}, ["not a whole .npy file"]),
        ({"embeddings__text_npy": lambda p: p.write_bytes(b"")}, ["not a whole .npy file"]),
        (
            {"embeddings__text_npy": lambda p: p.mkdir()},
            ["text.npy: found a folder, expected a regular file"],
        ),
        (
            {"embeddings__text_npy": npy(VECTORS), "embeddings__text_npz": npy(VECTORS)},
            ["text.npz and text.npy", "only one"],
        ),
        (
            {"embeddings__text_parquet": ITEMS.write_parquet},
            ["embeddings/text.parquet", "found item_id", "one column of lists"],
        ),
        (
            {"embeddings__text_parquet": FRAME.drop("item_id").write_parquet},
            ["embeddings/text.parquet: no column 'item_id'"],
        ),
        (
            {
                "embeddings__text_parquet": pl.DataFrame(
                    {"item_id": IDS, "emb": [[1.0], [2.0], [3.0, 4.0], [5.0]]}
                ).write_parquet
            },
            ["row 3, column 'emb'", "another length", "1 numbers"],
        ),
        (
            {
                "embeddings__text_parquet": pl.DataFrame(
                    {"item_id": IDS, "emb": [[1.0], [None], [3.0], [5.0]]}
                ).write_parquet
            },
            ["row 2, column 'emb'", "null in a list"],
        ),
        (
            {
                "embeddings__text_parquet": pl.DataFrame(
                    {"item_id": IDS, "emb": [["x"]] * 4}
                ).write_parquet
            },
            ["row 1, column 'emb'", "lists of String"],
        ),
        (
            {
                "embeddings__text_parquet": FRAME.with_columns(
                    emb=pl.lit(None, pl.List(pl.Float32))
                ).write_parquet
            },
            ["embeddings/text.parquet: found no vector in column 'emb'"],
        ),
        (
            {
                "embeddings__text_parquet": pl.DataFrame(
                    {"item_id": [1, None], "emb": [[1.0], [2.0]]}
                ).write_parquet
            },
            ["embeddings/text.parquet, row 2, column 'item_id': found no id"],
        ),
    ],
)
def test_files_of_arrays_that_do_not_fit_are_refused(tmp_path, files, said):
    with pytest.raises(DataError) as caught:
        Dataset.read(folder(tmp_path, **files))
    message = str(caught.value)
    assert "\n" not in message
    for words in said:
        assert words in message


@pytest.mark.parametrize("ids", [[0.0, 1.0, 2.0, 3.0], np.arange(4, dtype=np.float32), range(4)])
def test_ids_of_vectors_may_be_whole_numbers_as_floats(ids):
    items = pl.DataFrame({"item_id": [3, 2, 1, 0]})
    log = pl.DataFrame({"user_id": [1], "item_id": [1]})
    frame = pl.DataFrame({"item_id": pl.Series(ids), "emb": VECTORS})
    for given in ((ids, VECTORS), frame):
        data = Dataset.from_frames(items, log, embeddings={"text": given})
        np.testing.assert_array_equal(data.embeddings["text"].vectors, VECTORS[::-1])


def test_files_of_vectors_may_call_the_ids_as_the_items_do(tmp_path):
    folder(
        tmp_path,
        embeddings__text_npz=lambda p: np.savez(p, sku=np.array(IDS), emb=VECTORS),
        embeddings__image_parquet=FRAME.rename({"item_id": "sku"}).write_parquet,
    )
    (tmp_path / "items.csv").write_text("sku\n" + "\n".join(IDS))
    data = Dataset.read(tmp_path, columns={"items.item_id": "sku"})
    for modality in ("text", "image"):
        np.testing.assert_array_equal(data.embeddings[modality].vectors, VECTORS)


def test_vectors_may_come_as_a_folder_of_parts(tmp_path):
    parts = folder(tmp_path) / "embeddings" / "text.parquet"
    parts.mkdir()
    FRAME[:2].write_parquet(parts / "part-0.parquet")
    FRAME[2:].write_parquet(parts / "part-1.parquet")
    np.testing.assert_array_equal(Dataset.read(tmp_path).embeddings["text"].vectors, VECTORS)


def test_rows_without_ids_need_items(tmp_path):
    root = folder(tmp_path, embeddings__text_npy=npy(VECTORS[:3]))
    (root / "items.csv").unlink()
    with pytest.raises(
        DataError, match=r"text.npy: found rows without item ids, and no items file"
    ):
        Dataset.read(root)


@pytest.mark.parametrize(
    "name",
    [
        "embeddings__text_pkl",
        "embeddings__text_pt",
        "embeddings__text_NPY",
        "embeddings__text",
        "embeddings__deeper__text_npy",
        "codes__text_csv",
        "text_npy",
        "Items_csv",
        "items_tsv",
        "item_csv",
        "embedding__text_npy",
        "images__a_jpg",
        "interactions_json",
        "a_jpg",
    ],
)
def test_every_file_that_is_not_read_is_warned_of(tmp_path, name):
    def write(path):
        path.write_bytes(pickle.dumps({}))

    [line] = unread(Dataset.read(folder(tmp_path, **{name: write})))
    path = name.replace("__", "/").replace("_", ".")
    assert path.removeprefix("embeddings/").removeprefix("codes/").split("/")[0] in line


def test_a_folder_without_pictures_is_not_taken_for_pictures(tmp_path):
    for name, hint in (("versions__v1_json", False), ("photos__a_jpg", True)):
        root = tmp_path / name
        root.mkdir()
        [line] = unread(Dataset.read(folder(root, **{name: lambda p: p.write_bytes(b"{}")})))
        assert ("pictures need a column image" in line) is hint


def test_a_readme_beside_vectors_is_not_warned_of(tmp_path):
    write = {"embeddings__README_md": lambda p: p.write_text("how they were made")}
    assert not unread(Dataset.read(folder(tmp_path, embeddings__text_npy=npy(VECTORS), **write)))


def test_files_about_the_data_pictures_in_use_and_runs_are_not_warned_of(tmp_path):
    root = folder(tmp_path)
    (root / "items.csv").write_text("item_id,image\na,./pictures/a.jpg\nb,b.jpg\nc,x/../y/c.jpg\n")
    for name in ("pictures/a.jpg", "b.jpg", "y/c.jpg", "x/d.jpg", "run/manifest.json", "README.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / ".DS_Store").write_text("")
    assert [line for line in unread(Dataset.read(root)) if "x/" not in line] == []


@pytest.mark.parametrize(
    "given",
    [
        VECTORS,
        VECTORS.astype(np.float64),
        torch.tensor(VECTORS),
        torch.tensor(VECTORS, dtype=torch.bfloat16, requires_grad=True),
        VECTORS.tolist(),
        (IDS, VECTORS),
        [IDS, VECTORS],
        (pl.Series(IDS), torch.tensor(VECTORS)),
        (IDS[::-1], VECTORS[::-1].tolist()),
        dict(zip(IDS, VECTORS, strict=True)),
        dict(zip(IDS, torch.tensor(VECTORS), strict=True)),
        FRAME,
        FRAME.lazy(),
        pd.DataFrame({"item_id": IDS, "emb": list(VECTORS)}),
        Embeddings(VECTORS, np.ones(4, bool)),
    ],
)
def test_a_caller_may_give_vectors_in_any_form(given):
    data = Dataset.from_frames(ITEMS, LOG, embeddings={"text": given})
    assert (data.embeddings["text"].vectors == VECTORS).all()
    assert data.embeddings["text"].present.all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (VECTORS[:2], r"embeddings/text: found shape \[2, 3\].*expected \[4, dim\]"),
        (VECTORS[0], r"found shape \[3\]"),
        (VECTORS.astype(int), "found int64 values"),
        (None, "found NoneType, expected an array"),
        ("vectors.npy", "found str, expected an array"),
        ([[1.0], [2.0, 3.0]], "not an array of numbers"),
        ((IDS, VECTORS, 1), "found 3 arrays"),
        (torch.tensor(VECTORS).to_sparse(), "not an array of numbers"),
        (Codes(np.zeros((4, 2), np.int32), np.ones(4, bool), (4, 4)), "found codes"),
        ({"z": VECTORS[0]}, "none of its 1 ids"),
        (pl.DataFrame({"x": [1]}), "no column 'item_id'"),
        (np.full((4, 3), -3e37), "up to 1e"),
    ],
)
def test_vectors_that_are_none_are_refused_in_one_line(given, said):
    with pytest.raises(DataError, match=said) as caught:
        Dataset.from_frames(ITEMS, LOG, embeddings={"text": given})
    assert "\n" not in str(caught.value)


def test_vectors_without_a_modality_are_refused():
    for given in (VECTORS, [VECTORS], {1: VECTORS}):
        with pytest.raises(DataError, match="expected a dict such as"):
            Dataset.from_frames(ITEMS, LOG, embeddings=given)


def test_swapped_arguments_are_named():
    for items, log in ((LOG, ITEMS), (LOG.to_pandas(), ITEMS.lazy())):
        with pytest.raises(DataError, match="found the two swapped"):
            Dataset.from_frames(items, log)


def test_vectors_that_say_nothing_are_warned_of():
    vectors = np.vstack([np.zeros((2, 3)), np.ones((4, 3)), np.eye(3)])
    items = pl.DataFrame({"item_id": list("abcdefghi")})
    _, zero, same = Dataset.from_frames(items, LOG, embeddings={"text": vectors}).notes.warnings
    assert "embeddings/text: vectors of zeros: 2 of 9 (first: item 'a')" in zero
    assert "the same vector: 4 of 9 (first: item 'c')" in same
