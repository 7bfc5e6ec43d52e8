"""Reading: the same log from every format, in the right order, under the right ids."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgrec.data.dataset import Dataset
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import DataError

ITEMS = pl.DataFrame(
    {
        "item_id": [10, 20, 30, 40],
        "text": ["a red shoe", None, "a blue hat", "  "],
        "price": [1.5, 2.5, None, 4.0],
    }
)
# In the file's order; user 7's two at 200 tie, user 5's are not in the order of time.
LOG = pl.DataFrame(
    {
        "user_id": [7, 5, 7, 7, 5, 7, 5],
        "item_id": [10, 30, 40, 20, 10, 10, 20],
        "timestamp": [100, 900, 200, 200, 300, 50, 600],
    }
)
EXPECTED = {7: [10, 10, 40, 20], 5: [10, 20, 30]}
TIMES = [50, 100, 200, 200, 300, 600, 900]


def write(frame: pl.DataFrame, file: Path) -> None:
    """Write a frame in the format that the name says."""
    kind = file.name.removesuffix(".gz").rsplit(".", 1)[1]
    plain = file.with_name(f"plain.{kind}")
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[kind](
        plain
    )
    data = plain.read_bytes()
    plain.unlink()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


def logged(data: Dataset) -> dict[object, list[object]]:
    """Return every user's items, all in external ids."""
    ids = data.items["item_id"].to_list()
    return {
        user: [ids[i] for i in row]
        for user, row in zip(data.users.to_list(), data.log, strict=True)
    }


def read(tmp_path: Path, **files: str) -> Dataset:
    """Read a folder of text files; ``items_jsonl="..."`` is written to items.jsonl."""
    for name, text in files.items():
        (tmp_path / name.replace("_", ".")).write_text(text)
    return Dataset.read(tmp_path)


class TestFormats:
    @pytest.mark.parametrize("gz", ["", ".gz"])
    @pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
    def test_every_format_gives_the_same_dataset(self, tmp_path, kind, gz):
        write(ITEMS, tmp_path / f"items.{kind}{gz}")
        write(LOG, tmp_path / f"interactions.{kind}{gz}")
        data = Dataset.read(tmp_path)
        assert logged(data) == EXPECTED
        assert data.times.tolist() == TIMES
        assert data.users.dtype == data.items["item_id"].dtype == pl.Int64
        assert data.texts() == ["a red shoe", None, "a blue hat", None]
        assert data.items["price"].to_list() == [1.5, 2.5, None, 4.0]
        assert data.fingerprint == Dataset.from_frames(ITEMS, LOG).fingerprint

    @pytest.mark.parametrize("take", [lambda f: f, pl.DataFrame.lazy, pl.DataFrame.to_pandas])
    def test_frames_give_the_same_dataset(self, take):
        data = Dataset.from_frames(take(ITEMS), take(LOG))
        assert logged(data) == EXPECTED
        assert data.fingerprint == Dataset.from_frames(ITEMS, LOG).fingerprint

    @pytest.mark.parametrize("gz", ["", ".gz"])
    def test_sequences_are_the_log_in_the_order_of_the_file(self, tmp_path, gz):
        write(ITEMS, tmp_path / "items.csv")
        text = b"7 10 10 40 20\r\n\n5\t10  20 30 \n"
        (tmp_path / f"sequences.txt{gz}").write_bytes(gzip.compress(text) if gz else text)
        data = Dataset.read(tmp_path)
        assert logged(data) == EXPECTED
        assert data.times is None

    def test_a_user_on_two_lines_has_one_history(self, tmp_path):
        data = read(tmp_path, sequences_txt="u 1 2\nv 3\nu 4\n")
        assert logged(data) == {"u": [1, 2, 4], "v": [3]}

    def test_json_lines_may_lack_keys_be_blank_and_end_like_windows(self, tmp_path):
        data = read(
            tmp_path,
            items_jsonl='\ufeff{"item_id": 1}\r\n\r\n'
            '{"item_id": 2, "text": "x", "image": null}\r\n',
            sequences_txt="u 1 2",
        )
        assert data.texts() == [None, "x"]
        assert data.pictures() == [None, None]

    def test_json_columns_that_mix_lists_and_objects_are_kept_as_text(self, tmp_path):
        data = read(
            tmp_path,
            items_jsonl='{"item_id": 1, "x": [1]}\n{"item_id": 2, "x": {"y": 1}}\n{"item_id": 3}',
            sequences_txt="u 1 2 3",
        )
        assert data.items["x"].to_list() == ["[1]", '{"y": 1}', None]

    def test_what_is_nested_is_text_too(self, tmp_path):
        rows = [{"item_id": 1, "text": [["a"]]}, {"item_id": 2, "text": {"b": 1}}, {"item_id": 3}]
        data = read(tmp_path, items_jsonl="\n".join(map(json.dumps, rows)), sequences_txt="u 1")
        assert data.texts() == ['[["a"]]', '{"b": 1}', None]

    @pytest.mark.parametrize("kind", ["{}.0", " {} ", "{}"])
    def test_whole_numbers_of_csv_are_ids_as_a_program_writes_them(self, tmp_path, kind):
        log = "".join(f"{kind.format(u)},{kind.format(u + k)}\n" for u in (0, 1) for k in (0, 1, 2))
        data = read(
            tmp_path,
            items_csv="item_id,text\n0,a\n1,b\n2,c\n3,d\n",
            interactions_csv=f"user_id,item_id\n{log}",
        )
        assert data.users.to_list() == [0, 1]
        assert data.log[1].tolist() == [1, 2, 3]

    def test_text_that_is_a_version_stays_text(self, tmp_path):
        data = read(
            tmp_path, items_csv="item_id\n1.0\n1.10\n", interactions_csv="user_id,item_id\nu,1.0\n"
        )
        assert data.items["item_id"].to_list() == ["1.0", "1.10"]
        assert data.log[0].tolist() == [0]

    def test_ids_that_read_like_nothing_or_have_blanks_are_warned_of(self, tmp_path):
        data = read(
            tmp_path,
            items_csv="item_id,text\na,x\na ,y\n",
            interactions_csv="user_id,item_id\nnan,a\nNone,a\nu,a\n",
        )
        padded, missing = data.notes.warnings[:2]
        assert "blanks before or behind them, taken as they are: 1 of 2" in padded
        assert "(first: items.csv, line 3, column 'item_id': 'a ')" in padded
        assert "read like a missing value, taken as they are: 2 of 3" in missing
        assert "(first: interactions.csv, line 2, column 'user_id': 'nan')" in missing

    def test_csv_takes_quotes_line_breaks_blank_lines_and_inch_signs(self, tmp_path):
        data = read(
            tmp_path,
            items_csv='item_id,text\n1,"two\nlines, one"\n\n2,a 12" disc\n',
            sequences_txt="u 1 2",
        )
        assert data.texts() == ["two\nlines, one", 'a 12" disc']

    def test_pandas_columns_of_every_kind(self):
        items = pd.DataFrame(
            {
                "item_id": pd.Categorical(["b", "a"]),
                "text": ["x", np.nan],
                "genres": [["one", "two"], None],
                "stock": pd.array([1, None], dtype="Int64"),
            },
            index=[9, 9],
        )
        log = pd.DataFrame(
            {
                "user_id": np.array([1, 1], np.int32),
                "item_id": ["a", "b"],
                "weight": pd.Categorical(["1", "2"]),
                "timestamp": pd.to_datetime(["2024-01-01T01:00+01:00", "2024-01-01T00:00+01:00"]),
            }
        )
        data = Dataset.from_frames(items, log, text_columns=["text", "genres"])
        assert logged(data) == {1: ["b", "a"]}
        assert data.times.tolist() == [1704063600, 1704067200]
        assert data.texts() == ["x. one, two", None]
        assert data.items["stock"].to_list() == [1, None]

    def test_without_items_the_catalogue_is_the_log_in_order_of_appearance(self):
        data = Dataset.from_frames(None, LOG)
        assert data.items["item_id"].to_list() == [10, 30, 40, 20]
        assert logged(data) == EXPECTED
        assert "no items file" in " ".join(data.notes.read)


class TestOrder:
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 3)),
            min_size=1,
            max_size=40,
        )
    )
    def test_oldest_first_and_the_order_of_the_file_where_moments_tie(self, rows):
        frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
        expected: dict[int, list[int]] = {}
        for user, item, _ in sorted(rows, key=lambda row: row[2]):  # sorted() is stable
            expected.setdefault(user, []).append(item)
        assert logged(Dataset.from_frames(None, frame)) == expected

    @pytest.mark.parametrize(
        ("written", "unit"),
        [
            ([1704067200, 1704067199], "seconds"),
            ([1704067200500, 1704067199999], "milliseconds"),
            ([1704067200500000, 1704067199999999], "microseconds"),
            ([1704067200500000000, 1704067199999999999], "nanoseconds"),
            ([1704067200.5, 1704067199.9], "seconds"),
            (["1704067200", "1704067199"], "seconds"),
            (["2024-01-01", "2023-12-31T23:59:59"], "ISO"),
            (["2024-01-01T01:00:00.5+01:00", "2023-12-31 23:59:59.9Z"], "ISO"),
            (["2023-12-31T19:00-0500", "2023-12-31T18:59:59-05:00"], "ISO"),
            (["2024-01-01 00:00:00 UTC", "2024-01-01 01:59:59+02"], "ISO"),
            (["2024-01-01t00:00:00z", "2023-12-31 23:59:59.999999 UTC"], "ISO"),
            (["2024-01-01 00:00 GMT", "2024-01-01 01:59:59+0200"], "ISO"),
            ([20240101000000, 20231231235959], "20240131"),
            (["20240101000000", "20231231235959"], "20240131"),
        ],
    )
    def test_moments_are_unix_seconds_however_written(self, written, unit):
        log = pl.DataFrame({"user_id": [1, 1], "item_id": [5, 6], "timestamp": written})
        data = Dataset.from_frames(None, log)
        assert data.times.tolist() == [1704067199, 1704067200]
        assert logged(data) == {1: [6, 5]}
        assert unit in " ".join(data.notes.read)

    @pytest.mark.parametrize("kind", [pl.Int64, pl.Int32, pl.Float64, pl.String])
    def test_numbers_such_as_20240101_are_days(self, kind):
        days = pl.Series([20240101, 20231231]).cast(kind)
        if kind == pl.Float64:
            assert days[0] == 20240101.0
        log = pl.DataFrame({"user_id": [1, 1], "item_id": [5, 6], "timestamp": days})
        assert Dataset.from_frames(None, log).times.tolist() == [1703980800, 1704067200]

    def test_dates_and_datetimes(self):
        days = pl.Series(["2024-01-01", "2023-12-31"]).str.to_date()
        for moments in (days, days.cast(pl.Datetime("ms")), days.cast(pl.Datetime("ns", "UTC"))):
            log = pl.DataFrame({"user_id": [1, 1], "item_id": [5, 6], "timestamp": moments})
            assert Dataset.from_frames(None, log).times.tolist() == [1703980800, 1704067200]

    def test_what_is_finer_than_a_second_still_orders(self):
        log = pl.DataFrame(
            {
                "user_id": [1] * 3,
                "item_id": [5, 6, 7],
                "timestamp": [1.7e9 + s for s in (0.9, 0, 0.5)],
            }
        )
        data = Dataset.from_frames(None, log)
        assert logged(data) == {1: [6, 7, 5]}
        assert data.times.tolist() == [1_700_000_000] * 3

    def test_seconds_among_milliseconds_are_warned_of(self):
        mixed = [1_700_000_000, 1_700_000_001, 1_700_000_002_000]
        log = pl.DataFrame({"user_id": [1] * 3, "item_id": [5, 6, 7], "timestamp": mixed})
        (warning,) = (w for w in Dataset.from_frames(None, log).notes.warnings if "1990" in w)
        assert "Unix milliseconds as all are: 2 of 3" in warning
        for whole in (mixed[:2] * 2, [1, 2, 3]):  # one unit, or only an order
            log = pl.DataFrame({"user_id": [1] * len(whole), "item_id": 5, "timestamp": whole})
            assert "1990" not in "".join(Dataset.from_frames(None, log).notes.warnings)


class TestParts:
    """A folder of part files in place of one Parquet file."""

    def folder(self, root: Path, parts: dict[str, pl.DataFrame], name="interactions") -> Path:
        for path, frame in parts.items():
            file = root / f"{name}.parquet" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(file)
        return root

    def test_parts_are_one_table_in_the_order_of_their_numbers(self, tmp_path):
        frame = LOG.drop("timestamp")
        parts = {f"part.{n}.parquet": frame[n : n + 1] for n in range(len(frame))}
        parts |= {f"part.{n + 10}.parquet": frame[n : n + 1] for n in range(len(frame))}
        root = self.folder(tmp_path, parts)
        self.folder(root, {"a.parquet": ITEMS[:2], "b.parquet": ITEMS[2:]}, "items")
        (root / "items.parquet" / "_SUCCESS").touch()
        (root / "items.parquet" / ".a.parquet.crc").touch()
        one = Dataset.from_frames(ITEMS, pl.concat([frame, frame]))
        assert Dataset.read(root).fingerprint == one.fingerprint

    def test_folders_of_parts_are_columns(self, tmp_path):
        parts = {
            f"timestamp={t}/0.parquet": LOG.filter(timestamp=t).drop("timestamp") for t in TIMES
        }
        data = Dataset.read(self.folder(tmp_path, parts))
        assert logged(data) == EXPECTED

    def test_an_error_names_the_part(self, tmp_path):
        bad = LOG.with_columns(user_id=pl.Series([1, 2, None, 4, 5, 6, 7]))
        root = self.folder(tmp_path, {"a.parquet": LOG, "b.parquet": bad})
        with pytest.raises(DataError, match=r"interactions\.parquet/b\.parquet, row 3, column"):
            Dataset.read(root)

    def test_parts_that_differ_in_kind_are_refused(self, tmp_path):
        words = LOG.cast({"item_id": pl.String})
        root = self.folder(tmp_path, {"a.parquet": LOG, "b.parquet": words})
        with pytest.raises(DataError, match=r"b\.parquet: column 'item_id' is String, expected"):
            Dataset.read(root)

    def test_other_files_among_parts_are_refused(self, tmp_path):
        root = self.folder(tmp_path, {"a.parquet": LOG})
        (root / "interactions.parquet" / "b.csv").write_text("user_id,item_id\n1,1\n")
        with pytest.raises(DataError, match=r"b\.csv: expected only part files"):
            Dataset.read(root)


class TestAttributes:
    def test_their_kinds_and_why_one_is_text_are_noted(self, tmp_path):
        data = read(
            tmp_path,
            items_csv="item_id,price,year,code\n1,9.5,1999,007\n2,-,2001,123\n3,12,,12\n",
            sequences_txt="u 1 2 3",
        )
        notes = " ".join(data.notes.read)
        assert "price (text, not numbers: items.csv, line 3 has '-')" in notes
        assert "year (numbers)" in notes
        assert data.items["code"].to_list() == ["007", "123", "12"]


class TestIds:
    def test_csv_ids_that_only_look_like_numbers_stay_as_written(self, tmp_path):
        data = read(tmp_path, items_csv="item_id\n007\n7\n", sequences_txt="01 7 007 7")
        assert data.items["item_id"].to_list() == ["007", "7"]
        assert logged(data) == {"01": ["7", "007", "7"]}

    def test_csv_ids_too_large_for_a_number_stay_as_written(self, tmp_path):
        data = read(tmp_path, interactions_csv=f"user_id,item_id\nu,{2**63}\nu,5\n")
        assert logged(data) == {"u": [str(2**63), "5"]}

    def test_the_log_takes_over_the_type_of_the_catalogue(self, tmp_path):
        data = read(
            tmp_path,
            items_jsonl='{"item_id": "1"}\n{"item_id": "x"}',
            interactions_csv="user_id,item_id\n3,1\n3,x\n",
        )
        assert logged(data) == {3: ["1", "x"]}
        numbers = Dataset.from_frames(
            pl.DataFrame({"item_id": [1, 2]}), pl.DataFrame({"user_id": ["a"], "item_id": ["2"]})
        )
        assert logged(numbers) == {"a": [2]}

    def test_indices_of_ids_in_either_type(self):
        data = Dataset.from_frames(ITEMS, LOG)
        ids = [30, "30", np.int64(10), "x", None, True, 1.0, 99]
        assert data.index_of(ids).tolist() == [2, 2, 0, -1, -1, -1, -1, -1]
        words = Dataset.from_frames(None, LOG.cast({"item_id": pl.String, "user_id": pl.String}))
        assert words.index_of([10, "10"]).tolist() == [0, 0]

    def test_other_column_names(self):
        log = LOG.rename({"user_id": "uid", "item_id": "sku", "timestamp": "at"})
        items = ITEMS.rename({"item_id": "sku", "text": "blurb"}).with_columns(item_id=pl.lit(1))
        data = Dataset.from_frames(
            items,
            log,
            columns={"user_id": "uid", "item_id": "sku", "timestamp": "at", "text": "blurb"},
        )
        assert logged(data) == EXPECTED
        assert data.texts()[0] == "a red shoe"
        assert data.fingerprint == Dataset.from_frames(ITEMS, LOG).fingerprint


class TestRows:
    def test_rows_of_unknown_items_are_counted_and_left_out(self):
        log = pl.concat(
            [
                LOG,
                pl.DataFrame({"user_id": [7, 8, 8], "item_id": [99, 98, 98], "timestamp": [0] * 3}),
            ]
        )
        data = Dataset.from_frames(ITEMS, log)
        assert logged(data) == EXPECTED
        assert data.notes.counts == {
            "rows_read": 10,
            "unknown_items": 2,
            "unknown_item_rows": 3,
            "lost_users": 1,
        }
        assert "interactions, row 8" in " ".join(data.notes.warnings)

    def test_users_of_fewer_than_three_are_kept_and_counted(self):
        data = Dataset.from_frames(None, LOG.head(3))
        assert data.notes.counts["short_users"] == 2
        assert len(data.notes.warnings) == 1
        assert logged(data) == {7: [10, 40], 5: [30]}

    def test_rows_that_weigh_nothing_are_left_out(self):
        log = LOG.with_columns(weight=pl.Series([1.0, 0, 2.5, -1, None, 1, 1]))
        data = Dataset.from_frames(ITEMS, log)
        assert logged(data) == {7: [10, 10, 40], 5: [10, 20]}
        assert data.notes.counts["weightless_rows"] == 2

    def test_events_are_counted_by_kind_and_kept(self):
        kinds = ["view", "buy", "view", None, "view", "buy", "view"]
        data = Dataset.from_frames(ITEMS, LOG.with_columns(event=pl.Series(kinds)))
        assert logged(data) == EXPECTED
        assert data.notes.events == {"view": 4, "buy": 2, "(none)": 1}

    def test_repeated_interactions_are_kept(self):
        log = pl.concat([LOG.head(1)] * 4)
        assert logged(Dataset.from_frames(ITEMS, log)) == {7: [10] * 4}


class TestTexts:
    ITEMS = pl.DataFrame(
        {
            "item_id": [1, 2, 3],
            "brand": [None, "Acme", ""],
            "title": ["Shoe", "Hat", None],
            "categories": [["wear", "feet"], [], None],
            "year": [1999, None, 2001],
        }
    )
    LOG = pl.DataFrame({"user_id": [1], "item_id": [1]})

    def test_what_is_written_is_joined_where_there_is_no_text(self):
        data = Dataset.from_frames(self.ITEMS, self.LOG)
        assert data.text_columns == ("title", "brand", "categories")
        assert data.texts() == ["Shoe. wear, feet", "Hat. Acme", None]
        assert "title, brand, categories" in " ".join(data.notes.read)

    def test_columns_can_be_chosen(self):
        data = Dataset.from_frames(self.ITEMS, self.LOG, text_columns=["year", "title"])
        assert data.texts() == ["1999. Shoe", "Hat", "2001"]
        one = Dataset.from_frames(ITEMS, LOG, text_columns=["price"])
        assert one.texts() == ["1.5", "2.5", None, "4.0"]

    def test_a_text_column_comes_before_all_others(self):
        data = Dataset.from_frames(self.ITEMS.with_columns(text=pl.lit("t")), self.LOG)
        assert data.texts() == ["t"] * 3


class TestPictures:
    def folder(self, tmp_path: Path, images: list[str | None]) -> Path:
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "a.jpg").write_bytes(b"aaa")
        (tmp_path / "images" / "link.jpg").symlink_to("a.jpg")
        rows = [{"item_id": i, "image": image} for i, image in enumerate(images)]
        (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (tmp_path / "sequences.txt").write_text("u 0")
        return tmp_path

    def test_pictures_may_be_missing_shared_and_linked_within(self, tmp_path):
        root = self.folder(
            tmp_path, ["images/a.jpg", None, "", "images/link.jpg", "images/../images/a.jpg"]
        )
        data = Dataset.read(root)
        found = [None if p is None else p.name for p in data.pictures()]
        assert found == ["a.jpg", None, None, "link.jpg", "a.jpg"]
        assert data.notes.warnings[:-1] == ()  # the last is about the short user
        assert data.modalities == ("image",)

    def test_a_file_that_is_not_there_is_counted_and_missing(self, tmp_path):
        gone = ["images/b.jpg", "images/a.jpg/c.jpg", "images", "no/such.jpg", "x" * 999]
        data = Dataset.read(self.folder(tmp_path, ["images/a.jpg", *gone, gone[0]]))
        assert [p is None for p in data.pictures()] == [False] + [True] * 6
        assert data.notes.counts["missing_pictures"] == 6
        assert "items.jsonl, line 2" in data.notes.warnings[0]

    def test_frames_find_pictures_under_root(self, tmp_path):
        self.folder(tmp_path, [])
        items = pl.DataFrame({"item_id": [0], "image": ["images/a.jpg"]})
        log = pl.DataFrame({"user_id": [0], "item_id": [0]})
        picture = Dataset.from_frames(items, log, root=tmp_path).pictures()[0]
        assert picture.read_bytes() == b"aaa"
        with pytest.raises(DataError, match="root="):
            Dataset.from_frames(items, log)


class TestReadyMade:
    def test_rows_are_aligned_by_id(self, tmp_path):
        write(ITEMS, tmp_path / "items.csv")
        write(LOG, tmp_path / "interactions.csv")
        for folder in ("embeddings", "codes"):
            (tmp_path / folder).mkdir()
        np.savez(
            tmp_path / "embeddings" / "text.npz",
            item_id=np.array(["40", "77", "10"]),
            emb=np.array([[4, 4.5], [7, 7], [1, 1]], np.float16),
        )
        np.savez(
            tmp_path / "codes" / "sound.npz",
            item_id=np.array([20, 88, 30]),
            codes=np.array([[255, 256, 0], [1000, 0, 0], [0, 1, 65535]], np.uint16),
        )
        data = Dataset.read(tmp_path)
        text, sound = data.embeddings["text"], data.codes["sound"]
        assert text.vectors.dtype == np.float32
        assert text.vectors.tolist() == [[1, 1], [0, 0], [0, 0], [4, 4.5]]
        assert text.present.tolist() == [True, False, False, True]
        assert sound.codes.tolist() == [[0] * 3, [255, 256, 0], [0, 1, 65535], [0] * 3]
        assert sound.present.tolist() == [False, True, True, False]
        assert sound.sizes == (1024, 512, 65536)
        assert data.notes.counts["unknown_embeddings"] == data.notes.counts["unknown_codes"] == 1
        assert data.modalities == ("text", "sound")

    def test_frames_take_pairs_and_aligned_arrays(self):
        aligned = Embeddings(np.ones((4, 2), np.float32), np.array([True] * 4))
        books = Codes(np.ones((4, 1), np.int32), np.array([True] * 4), (2,))
        data = Dataset.from_frames(
            ITEMS,
            LOG,
            embeddings={"image": aligned, "text": ([20], [[1.0, 2.0]])},
            codes={"image": books, "text": ([20], [[3]])},
        )
        assert data.embeddings["image"] is aligned
        assert data.codes["image"] is books
        assert data.embeddings["text"].vectors[1].tolist() == [1, 2]
        assert data.codes["text"].sizes == (256,)

    def test_auto_takes_the_most_finished_source(self):
        pair = ([20], [[1.0]])
        plain = Dataset.from_frames(ITEMS, LOG)
        vectors = Dataset.from_frames(ITEMS, LOG, embeddings={"text": pair})
        codes = Dataset.from_frames(
            ITEMS, LOG, embeddings={"text": pair}, codes={"text": ([20], [[1]])}
        )
        found = [data.source_of("text", "auto") for data in (plain, vectors, codes)]
        assert found == ["encode", "embeddings", "codes"]
        assert codes.source_of("text", "encode") == "encode"
        assert codes.source_of("text", "embeddings") == "embeddings"

    @pytest.mark.parametrize(
        ("modality", "wanted", "missing"),
        [
            ("image", "auto", "image"),
            ("text", "codes", "codes/text.npz"),
            ("text", "embeddings", "embeddings/text.npz"),
            ("sound", "encode", "texts or pictures"),
        ],
    )
    def test_a_source_that_is_not_there_is_refused(self, modality, wanted, missing):
        with pytest.raises(DataError, match=missing):
            Dataset.from_frames(ITEMS, LOG).source_of(modality, wanted)


class TestFingerprint:
    def test_it_tells_every_part_apart(self, tmp_path):
        base = {"items": ITEMS, "interactions": LOG}
        swapped = LOG.with_columns(item_id=pl.Series([10, 30, 20, 40, 10, 10, 20]))
        pair = ([20], [[1.0]])
        (tmp_path / "a").write_bytes(b"a")
        (tmp_path / "b").write_bytes(b"bb")
        pictured = [ITEMS.with_columns(image=pl.lit(name)) for name in "ab"]
        different = [
            base,
            base | {"items": ITEMS.reverse()},
            base | {"items": ITEMS.with_columns(text=pl.lit("x"))},
            base | {"interactions": swapped},
            base | {"interactions": LOG.drop("timestamp")},
            base | {"interactions": LOG.with_columns(pl.col("timestamp") + 1)},
            base | {"interactions": LOG.with_columns(pl.col("user_id") + 1)},
            base | {"embeddings": {"text": pair}},
            base | {"embeddings": {"image": pair}},
            base | {"codes": {"text": ([20], [[1]])}},
            base | {"codes": {"text": ([20], [[2]])}},
            base | {"items": pictured[0], "root": tmp_path},
            base | {"items": pictured[1], "root": tmp_path},
        ]
        prints = [Dataset.from_frames(**parts).fingerprint for parts in different]
        assert len(set(prints)) == len(prints)
        assert Dataset.from_frames(**base).fingerprint == prints[0]
        (tmp_path / "a").write_bytes(b"grown")
        assert Dataset.from_frames(**different[-2]).fingerprint not in prints

    def test_texts_do_not_run_into_each_other(self):
        texts = [["ab", "c"], ["a", "bc"], ["abc", None], [None, "abc"]]
        log = pl.DataFrame({"user_id": [1], "item_id": [1]})
        prints = {
            Dataset.from_frames(pl.DataFrame({"item_id": [1, 2], "text": t}), log).fingerprint
            for t in texts
        }
        assert len(prints) == 4
