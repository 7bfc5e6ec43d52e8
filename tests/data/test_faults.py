"""What is refused: one line that says where, what was found and what was expected."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mgrec.data.dataset import Dataset
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import DataError

LOG = "user_id,item_id\nu,1\nu,2\nv,1\n"
ITEMS = '{"item_id": 1, "text": "a"}\n{"item_id": 2}\n'


def refusal(read, *args, **settings) -> str:
    """Return the message of a refusal, which is one line."""
    with pytest.raises(DataError) as error:
        read(*args, **settings)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def folder(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


# What is wrong -> files of the folder, and what the message has to say.
FILES: dict[str, tuple[dict[str, str | bytes], list[str]]] = {
    "no log": ({"items.jsonl": ITEMS}, ["items.jsonl", "interactions.parquet", "sequences.txt"]),
    "empty folder": ({}, ["an empty folder"]),
    "two logs": (
        {"interactions.csv": LOG, "sequences.txt": "u 1"},
        ["interactions.csv and sequences.txt", "only one"],
    ),
    "two catalogues": (
        {"interactions.csv": LOG, "items.csv": "item_id\n1", "items.jsonl.gz": b""},
        ["items.csv and items.jsonl.gz"],
    ),
    "empty log": ({"interactions.csv": ""}, ["interactions.csv: empty file"]),
    "blank log": ({"sequences.txt": " \n \n"}, ["sequences.txt: empty file"]),
    "header only": ({"interactions.csv": "user_id,item_id\n"}, ["interactions.csv: no rows"]),
    "empty catalogue": ({"items.jsonl": "", "sequences.txt": "u 1"}, ["items.jsonl: empty file"]),
    "missing column": (
        {"interactions.csv": "userid,item_id\nu,1\n"},
        ["interactions.csv: no column 'user_id'", "userid, item_id", "Did you mean 'userid'?"],
    ),
    "lines of old Macs": (
        {"interactions.csv": "user_id,item_id\ru,1\r"},
        ["interactions.csv: found lines that end in a carriage return alone"],
    ),
    "semicolons": (
        {"interactions.csv": "user_id;item_id\nu;1\n"},
        ["no column 'user_id'", "separated by commas"],
    ),
    "half a line of JSON": (
        {"items.jsonl": '{"item_id": 1}\n\n{"item_id": 2, "te\n', "sequences.txt": "u 1"},
        ["items.jsonl, line 3", '{"item_id": 2, "te', "one whole JSON object"],
    ),
    "half a last line": (
        {"interactions.jsonl": '{"user_id": 1, "item_id": 1}\n' * 9 + '{"user_id": 1, "it'},
        ["interactions.jsonl, line 10"],
    ),
    "two objects on a line": (
        {"items.jsonl": '{"item_id": 1}\n{"item_id": 2}{"item_id": 3}', "sequences.txt": "u 1"},
        ["items.jsonl, line 2", "Extra data"],
    ),
    "a JSON array": (
        {"items.jsonl": '[{"item_id": 1}]', "sequences.txt": "u 1"},
        ["items.jsonl, line 1", "expected a JSON object"],
    ),
    "NaN in JSON": (
        {"items.jsonl": '{"item_id": 1}\n{"item_id": 2, "x": NaN}', "sequences.txt": "u 1"},
        ["items.jsonl, line 2", "NaN is not JSON"],
    ),
    "not UTF-8": (
        {"items.jsonl": b'{"item_id": 1}\n{"item_id": 2, "text": "\xff"}', "sequences.txt": "u 1"},
        ["items.jsonl, line 2", "0xff", "UTF-8"],
    ),
    "CSV not UTF-8": (
        {"items.csv": b"item_id,text\n1,a\n2,\xe9t\xe9\n", "sequences.txt": "u 1"},
        ["items.csv, line 3", "0xe9"],
    ),
    "too many fields": (
        {"interactions.csv": 'user_id,item_id\n"u\nu",1\nv,1,2\n'},
        ["interactions.csv, line 4", "found 3 fields, expected 2"],
    ),
    "open quote": (
        {"interactions.csv": 'user_id,item_id\nu,1\n"v,1\nw,1\n'},
        ["interactions.csv, line 3", "not CSV"],
    ),
    "column twice": (
        {"interactions.csv": "user_id,item_id,user_id\nu,1,v\n"},
        ["line 1", "'user_id' stands there twice"],
    ),
    "half a gzip": (
        {"interactions.csv.gz": gzip.compress(LOG.encode() * 99)[:-9]},
        ["interactions.csv.gz: not a whole gzip file"],
    ),
    "no gzip": ({"interactions.csv.gz": LOG}, ["interactions.csv.gz: not a whole gzip file"]),
    "no Parquet": ({"interactions.parquet": LOG}, ["interactions.parquet: not a whole Parquet"]),
    "a user without items": (
        {"sequences.txt": "u 1 2\n\nv\n"},
        ["sequences.txt, line 3", "found only 'v'"],
    ),
    "duplicate items": (
        {"items.csv": 'item_id,text\n1,"a\nb"\n2,x\n\n1,y\n', "sequences.txt": "u 1"},
        ["items.csv, line 6, column 'item_id'", "found 1 again", "line 2", "item: 1 of 3"],
    ),
    "mixed ids, text first": (
        {"items.jsonl": '{"item_id": "a"}\n{"item_id": 1}', "sequences.txt": "u 1"},
        ["items.jsonl, line 2, column 'item_id'", "found 1 (a whole number)", "expected text"],
    ),
    "mixed ids, numbers first": (
        {
            "interactions.jsonl": "\n".join(
                f'{{"user_id": {u}, "item_id": "i", "x": {{"user_id": 1}}}}' for u in (1, 2, '"z"')
            )
        },
        ["interactions.jsonl, line 3, column 'user_id'", "'z' (text)", "a whole number"],
    ),
    "decimal ids": (
        {"items.jsonl": '{"item_id": 1}\n{"item_id": 1.5}', "sequences.txt": "u 1"},
        ["items.jsonl, line 2", "1.5", "decimal"],
    ),
    "list ids": (
        {"items.jsonl": '{"item_id": [1]}', "sequences.txt": "u 1"},
        ["items.jsonl, line 1", "whole numbers or text"],
    ),
    "huge ids": (
        {"items.jsonl": f'{{"item_id": 1}}\n{{"item_id": {2**63}}}', "sequences.txt": "u 1"},
        ["items.jsonl, line 2", str(2**63)],
    ),
    "null id": (
        {"items.jsonl": '{"item_id": 1}\n\n{"text": "x"}', "sequences.txt": "u 1"},
        ["items.jsonl, line 3, column 'item_id'", "found no id"],
    ),
    "empty id": (
        {"interactions.csv": "user_id,item_id\nu,1\n,1\n"},
        ["interactions.csv, line 3, column 'user_id'", "found no id"],
    ),
    "half a CSV line": (
        {"interactions.csv": "user_id,item_id\nu,1\nv"},
        ["interactions.csv, line 3, column 'item_id'", "found no id"],
    ),
    "a word among numbers in the log": (
        {"items.jsonl": ITEMS, "sequences.txt": "u 1 2\nv 1 abc\n"},
        ["sequences.txt, line 2", "'abc'", "a whole number"],
    ),
    "a padded number in the log": (
        {"items.jsonl": ITEMS, "interactions.csv": "user_id,item_id\nu,1\nu,02\n"},
        ["interactions.csv, line 3", "'02'"],
    ),
    "no known item": (
        {"items.jsonl": ITEMS, "sequences.txt": "u 7 8"},
        ["sequences.txt, line 1", "found item 7", "such as 1"],
    ),
    "a word for a moment": (
        {"interactions.csv": "user_id,item_id,timestamp\nu,1,1700000000\nu,2,yesterday\n"},
        ["interactions.csv, line 3, column 'timestamp'", "'yesterday'", "ISO"],
    ),
    "a word for the first moment": (
        {"interactions.csv": "user_id,item_id,timestamp\nu,1,now\nu,2,2024-01-01\n"},
        ["interactions.csv, line 2", "'now'"],
    ),
    "no such day as a number": (
        {"interactions.csv": "user_id,item_id,timestamp\nu,1,20240131\nu,2,20240231\n"},
        ["interactions.csv, line 3", "found 20240231", "such as 20240131 in every row"],
    ),
    "days before years": (
        {"interactions.csv": "user_id,item_id,timestamp\nu,1,31012024\nu,2,1022024\nu,2,1021999"},
        ["interactions.csv, line 2", "found 31012024", "expected the year first"],
    ),
    "no such zone": (
        {"interactions.csv": "user_id,item_id,timestamp\nu,1,2024-01-01 10:00:00+25\n"},
        ["interactions.csv, line 2", "+25"],
    ),
    "no such day": (
        {"interactions.csv": "user_id,item_id,timestamp\nu,1,2024-01-01\nu,2,2023-02-29\n"},
        ["interactions.csv, line 3", "'2023-02-29'"],
    ),
    "no moment": (
        {
            "interactions.jsonl": '{"user_id":1,"item_id":1,"timestamp":5}\n'
            '{"user_id":1,"item_id":1}'
        },
        ["interactions.jsonl, line 2, column 'timestamp'", "found nothing"],
    ),
    "true for a moment": (
        {"interactions.jsonl": '{"user_id":1,"item_id":1,"timestamp":true}'},
        ["interactions.jsonl, line 1, column 'timestamp'", "True"],
    ),
    "a word for a weight": (
        {"interactions.csv": "user_id,item_id,weight\nu,1,2\nu,2,much\n"},
        ["interactions.csv, line 3, column 'weight'", "'much'", "a number"],
    ),
    "a list for a weight": (
        {"interactions.jsonl": '{"user_id":1,"item_id":1}\n{"user_id":1,"item_id":1,"weight":[2]}'},
        ["interactions.jsonl, line 2, column 'weight'", "[2]"],
    ),
    "nothing but a byte order mark": ({"interactions.csv": "\ufeff"}, ["empty file"]),
    "weightless": (
        {"interactions.csv": "user_id,item_id,weight\nu,1,0\n"},
        ["no row has a weight above 0"],
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, case):
    files, said = FILES[case]
    message = refusal(Dataset.read, folder(tmp_path, files))
    for words in said:
        assert words in message


def test_no_such_folder(tmp_path):
    assert "no such folder" in refusal(Dataset.read, tmp_path / "nowhere")
    (tmp_path / "log.csv").write_text(LOG)
    assert "a file, expected a folder" in refusal(Dataset.read, tmp_path / "log.csv")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"columns": {"user": "u"}}, ["'user=u'", "Did you mean 'user_id'?"]),
        ({"columns": {"user_id": "userid"}}, ["no 'userid'", "Did you mean 'user_id'?"]),
        ({"columns": {"user_id": "item_id", "item_id": "item_id"}}, ["one column twice"]),
        ({"text_columns": ["titel"]}, ["items.csv: no column 'titel'", "Did you mean 'title'?"]),
    ],
)
def test_a_column_that_nobody_has_is_refused(tmp_path, settings, said):
    files = {"items.csv": "item_id,title\n1,x\n", "interactions.csv": LOG}
    message = refusal(Dataset.read, folder(tmp_path, files), **settings)
    for words in said:
        assert words in message


def test_text_columns_need_items(tmp_path):
    root = folder(tmp_path, {"sequences.txt": "u 1"})
    assert "there is no items file" in refusal(Dataset.read, root, text_columns=["title"])


def test_errors_name_the_column_of_the_file(tmp_path):
    root = folder(tmp_path, {"interactions.csv": "uid,item_id\n,1\n"})
    message = refusal(Dataset.read, root, columns={"user_id": "uid"})
    assert "interactions.csv, line 2, column 'uid'" in message


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"item_id": [1, "b"], "user_id": 1}), ["interactions, row 2", "'b' (text)"]),
        (pd.DataFrame({"item_id": ["b", 1], "user_id": 1}), ["row 2", "1 (a whole number)"]),
        (pd.DataFrame({"item_id": [1, None], "user_id": 1}), ["row 2", "no id"]),
        (pd.DataFrame([[1, 1]], columns=["item_id", "item_id"]), ["stands there twice"]),
        (pl.DataFrame({"item_id": [], "user_id": []}), ["no rows"]),
        (7, ["found int", "DataFrame"]),
        (None, ["interactions: found None", "DataFrame"]),
        ([1, 2], ["interactions, row 1", "found int", "expected a dict"]),
        ({"item_id": [1], "user_id": [1, 2]}, ["1 in 'item_id', 2 in 'user_id'"]),
        ({"item_id": [1], "user_id": 2}, ["column 'user_id'", "found int", "a list"]),
        (pl.Series([1]), ["found Series", "DataFrame"]),
        (pd.Series([1]), ["found Series", "DataFrame"]),
        (pl.LazyFrame({"a": [1]}).select("b"), ["the LazyFrame fails"]),
    ],
)
def test_a_malformed_frame_is_refused(frame, said):
    message = refusal(Dataset.from_frames, None, frame)
    for words in said:
        assert words in message


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("https://x.org/a.jpg", "download"),
        ("data:image/png;base64,AAAA", "download"),
        ("//x.org/a.jpg", "download"),
        ("../secret.jpg", "leaves the data folder"),
        ("images/../../secret.jpg", "leaves the data folder"),
        ("..", "leaves the data folder"),
        ("out.jpg", "leaves the data folder"),
        ("out/secret.jpg", "leaves the data folder"),
        ("{root}/images/a.jpg", "relative to the data folder"),
        ("C:\\pictures\\a.jpg", "relative to the data folder"),
        ("images/a.jpg\0", "relative to the data folder"),
    ],
)
def test_a_picture_path_that_leaves_the_folder_is_refused(tmp_path, image, said):
    (tmp_path / "secret.jpg").write_bytes(b"x")
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    (root / "images" / "a.jpg").write_bytes(b"x")
    (root / "out.jpg").symlink_to("../secret.jpg")
    (root / "out").symlink_to("..")
    rows = [{"item_id": 1, "image": "images/a.jpg"}, {"item_id": 2}]
    rows.append({"item_id": 3, "image": image.format(root=root)})
    text = "\n".join(map(json.dumps, rows))
    message = refusal(Dataset.read, folder(root, {"items.jsonl": text, "sequences.txt": "u 1"}))
    assert "items.jsonl, line 3, column 'image'" in message
    assert said in message


def test_a_list_of_pictures_is_refused(tmp_path):
    for n, image in enumerate(('["a.jpg"]', '{"path": "a.jpg"}', '[{"path": "a.jpg"}]')):
        text = f'{{"item_id": 1, "image": {image}}}'
        (tmp_path / str(n)).mkdir()
        files = {"items.jsonl": text, "sequences.txt": "u 1"}
        message = refusal(Dataset.read, folder(tmp_path / str(n), files))
        assert "items.jsonl, line 1, column 'image'" in message
        assert "expected a path" in message


def vectors(**change: object) -> dict[str, object]:
    return {"item_id": np.array([1, 2]), "emb": np.eye(2, dtype=np.float16)} | change


def books(**change: object) -> dict[str, object]:
    return {"item_id": np.array([1, 2]), "codes": np.array([[0, 1], [2, 3]])} | change


# What is wrong -> arrays of the file, and what the message has to say.
ARRAYS: dict[str, tuple[dict[str, object], list[str]]] = {
    "NaN": (vectors(emb=np.array([[0, 1], [np.nan, 1]])), ["row 2", "nan"]),
    "infinite": (vectors(emb=np.array([[-np.inf, 1], [1, 1]])), ["row 1", "-inf"]),
    "too large for 32 bits": (vectors(emb=np.array([[1e300, 1], [1, 1]])), ["row 1", "inf"]),
    "one dimension": (vectors(emb=np.ones(2)), ["shape [2]", "[items, dim]"]),
    "three dimensions": (vectors(emb=np.ones((2, 2, 2))), ["shape [2, 2, 2]"]),
    "no columns": (vectors(emb=np.ones((2, 0))), ["shape [2, 0]"]),
    "whole numbers": (vectors(emb=np.ones((2, 2), int)), ["int64", "floats"]),
    "lengths that differ": (vectors(emb=np.ones((3, 2))), ["2 ids and 3 rows"]),
    "an id twice": (vectors(item_id=np.array([2, 2])), ["row 2", "2 stands there twice"]),
    "ids of the wrong type": (vectors(item_id=np.array(["1", "b"])), ["row 2", "'b'"]),
    "decimal ids": (vectors(item_id=np.array([1, 1.5])), ["row 2", "1.5"]),
    "pickled ids": (vectors(item_id=np.array([1, "b"], object)), ["pickled objects"]),
    "no known id": (vectors(item_id=np.array([8, 9])), ["none of its 2 ids", "such as 8"]),
    "no vectors": ({"item_id": np.array([1])}, ["found 'item_id'", "expected item_id and emb"]),
    "negative code": (books(codes=np.array([[0, 1], [2, -3]])), ["row 2, level 2", "-3"]),
    "large code": (books(codes=np.array([[65536, 1], [2, 3]])), ["row 1, level 1", "65536"]),
    "code that is no whole number": (books(codes=np.ones((2, 2))), ["float64", "whole numbers"]),
    "codes of one dimension": (books(codes=np.ones(2, int)), ["shape [2]", "[items, levels]"]),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_malformed_arrays_are_refused(tmp_path, case):
    given, said = ARRAYS[case]
    name = "codes/text.npz" if "codes" in given else "embeddings/text.npz"
    root = folder(tmp_path, {"items.jsonl": ITEMS, "sequences.txt": "u 1 2", name: b""})
    np.savez(root / name, **given)
    message = refusal(Dataset.read, root)
    for words in [name, *said]:
        assert words in message


def test_an_npz_that_is_none_is_refused(tmp_path):
    root = folder(tmp_path, {"items.jsonl": ITEMS, "sequences.txt": "u 1"})
    file = folder(root, {"embeddings/text.npz": b""}) / "embeddings" / "text.npz"
    np.savez(file, **vectors())
    whole = file.read_bytes()
    np.save(root / "plain.npy", np.ones(2))
    for broken in (b"", b"text", whole[: len(whole) // 2], (root / "plain.npy").read_bytes()):
        file.write_bytes(broken)
        assert "embeddings/text.npz" in refusal(Dataset.read, root)


@pytest.mark.parametrize(
    "given",
    [
        {"embeddings": {"text": Embeddings(np.ones((3, 2), np.float32), np.ones(3, bool))}},
        {"embeddings": {"text": Embeddings(np.ones((2, 2), np.float32), np.ones(3, bool))}},
        {"embeddings": {"text": Embeddings(np.full((2, 2), np.nan, np.float32), np.ones(2, bool))}},
        {"codes": {"text": Codes(np.full((2, 1), 4, np.int32), np.ones(2, bool), (4,))}},
        {"codes": {"text": Codes(np.zeros((2, 1), np.int32), np.ones(2, bool), (4, 4))}},
        {"codes": {"text": Codes(np.full((2, 1), -1, np.int32), np.ones(2, bool), (4,))}},
    ],
)
def test_aligned_arrays_that_do_not_fit_are_refused(given):
    items, log = pl.DataFrame({"item_id": [1, 2]}), pl.DataFrame({"user_id": [1], "item_id": [1]})
    assert "/text" in refusal(Dataset.from_frames, items, log, **given)


GOOD: dict[str, bytes] = {
    "items.jsonl": ITEMS.encode(),
    "items.csv": b'item_id,text,image\n1,"a, b",\n2,c,\n',
    "interactions.jsonl": b'{"user_id": "u", "item_id": 1, "timestamp": 5}\n' * 2,
    "interactions.csv": b"user_id,item_id,timestamp,weight\nu,1,2024-01-01,1\nu,2,2024-01-02,1\n",
    "sequences.txt": b"u 1 2\nv 1\n",
}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(GOOD)),
    at=st.integers(0, 10**6),
    cut=st.integers(0, 3),
    put=st.binary(max_size=2) | st.sampled_from([b'"', b"{", b"\n", b",", b"null", b"NaN", b"\0"]),
)
def test_a_damaged_file_is_read_or_refused_but_never_a_traceback(tmp_path, name, at, cut, put):
    at %= len(GOOD[name]) + 1
    damaged = GOOD[name][:at] + put + GOOD[name][at + cut :]
    for file in tmp_path.iterdir():
        file.unlink()
    other = "sequences.txt" if name.startswith("items") else "items.csv"
    try:
        data = Dataset.read(folder(tmp_path, {other: GOOD[other], name: damaged}))
    except DataError as error:
        refused = str(error)
    else:
        refused = ""
        assert len(data.log.items) > 0
        assert data.log.items.max() < data.n_items
    assert "\n" not in refused
