"""Values of the catalogue's columns: what no column type holds, and what can be saved."""

import datetime as dt
import decimal
import io
import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from polars.testing.parametric import column, dataframes

from mgrec.data.dataset import Dataset
from mgrec.errors import DataError

WIDE = [{"a": "1"}, {"b": 2, "gone": None}, {"c": {"d": [None, "x"], "e": None}}, {}, None]
WORDS = ['{"a": "1"}', '{"b": 2}', '{"c": {"d": ["x"]}}', None, None]


def dataset(values: Any, name: str = "details", **options: Any) -> Dataset:
    """Return a dataset whose items have a column of these values."""
    values = values if isinstance(values, pl.Series) else list(values)
    items = pl.DataFrame({"item_id": range(len(values))}).with_columns(
        values.alias(name) if isinstance(values, pl.Series) else pl.Series(name, values)
    )
    return Dataset.from_frames(items, pl.DataFrame({"user_id": [1], "item_id": [0]}), **options)


def saved(frame: pl.DataFrame) -> pl.DataFrame:
    """Write a table as an artifact does, and read it back."""
    file = io.BytesIO()
    frame.write_parquet(file)
    return pl.read_parquet(io.BytesIO(file.getvalue()))


class TestObjects:
    """Each object is a text of its own: no item's text holds another's keys."""

    LOG = pl.DataFrame({"user_id": [1], "item_id": [0]})

    def of(self, kind: str, root: Path) -> Dataset:
        ids = list(range(len(WIDE)))
        rows = [{"item_id": i, "details": value} for i, value in zip(ids, WIDE, strict=True)]
        taken: dict[str, Any] = {
            "pandas": pd.DataFrame({"item_id": ids, "details": WIDE}),
            "polars": pl.DataFrame({"item_id": ids, "details": pl.Series(WIDE, strict=False)}),
            "objects": pl.DataFrame({"item_id": ids, "details": pl.Series(WIDE, dtype=pl.Object)}),
            "dict": {"item_id": ids, "details": WIDE},
            "rows": rows,
        }
        if kind in taken:
            return Dataset.from_frames(taken[kind], self.LOG, text_columns=["details"])
        if kind == "jsonl":
            (root / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
        else:
            taken["polars"].write_parquet(root / "items.parquet")
        (root / "sequences.txt").write_text("1 0")
        return Dataset.read(root, text_columns=["details"])

    @pytest.mark.parametrize(
        "kind", ["jsonl", "parquet", "pandas", "polars", "objects", "dict", "rows"]
    )
    def test_an_items_text_holds_no_key_of_another_item(self, tmp_path, kind):
        data = self.of(kind, tmp_path)
        assert data.texts() == WORDS
        assert data.items["details"].dtype == pl.String

    def test_lists_of_objects_hold_no_key_of_another_item(self):
        dtype = pl.List(pl.Struct({"a": pl.Int64, "b": pl.Int64}))
        values = pl.Series([[{"a": 1}], [{"b": 2}], []], dtype=dtype)
        data = dataset(values, text_columns=["details"])
        assert data.texts() == ['[{"a": 1}]', '[{"b": 2}]', None]

    def test_text_keeps_its_letters(self):
        data = dataset([{"Größe": "süß"}, {"Größe": "赤"}], text_columns=["details"])
        assert data.texts() == ['{"Größe": "süß"}', '{"Größe": "赤"}']

    @pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
    def test_memory_grows_with_the_file_and_not_with_rows_times_keys(self, tmp_path):
        rows = (
            {"item_id": i, "details": {f"key {(17 * i + k) % 3000}": str(k) for k in range(8)}}
            for i in range(20_000)
        )
        (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (tmp_path / "sequences.txt").write_text("1 0")
        code = (
            "import resource, sys, mgrec.data.dataset as d\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "d.Dataset.read(sys.argv[1])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=True, text=True
        )
        assert int(done.stdout) < 200 * 1024  # KiB


class TestSaving:
    """Whatever a dataset accepts can be saved, and is the same when it is loaded."""

    @given(
        dataframes(
            cols=[column(f"c{n}", allow_null=True) for n in range(3)],
            min_size=1,
            max_size=4,
            excluded_dtypes=[pl.Categorical, pl.Enum],
            allow_infinity=False,
        )
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def test_any_column_of_polars_can_be_saved(self, frame):
        items = frame.with_row_index("item_id")
        log = pl.DataFrame({"user_id": [1], "item_id": [0]})
        found = Dataset.from_frames(items, log, text_columns=["c0", "c1", "c2"])
        assert saved(found.items).schema == found.items.schema
        assert saved(found.items).equals(found.items)
        assert len(found.texts()) == len(items)

    @pytest.mark.parametrize(
        "values",
        [
            pl.Series([{}, {}]),
            pl.Series([{"a": {}}, None]),
            pl.Series([[{}], []]),
            pl.Series([uuid.UUID(int=k) for k in range(2)], dtype=pl.Object),
            pl.Series([{1, 2}, object()], dtype=pl.Object),
            pl.Series([Path("a"), None], dtype=pl.Object),
            pl.Series([None, None]),
            pl.Series([[], []]),
            pl.Series([[[]], [[]]]),
            pl.Series([decimal.Decimal("1.5"), None]),
            pl.Series([[decimal.Decimal("1.5")], None]),
            pl.Series([dt.timedelta(days=1), None]),
            pl.Series([[dt.timedelta(days=1)], None]),
            pl.Series([dt.time(12), None]),
            pl.Series([b"\xff", None]),
            pl.Series([[b"\xff"], None]),
            pl.Series([2**100, 1], dtype=pl.Int128),
            pl.Series(["a", "b"], dtype=pl.Categorical),
            pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
            pl.Series([["a"], ["b"]], dtype=pl.List(pl.Categorical)),
            pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)),
            pl.Series([[], []], dtype=pl.Array(pl.Int64, 0)),
            pl.Series([[[1], [2]], None], dtype=pl.Array(pl.Int64, (2, 1))),
        ],
        ids=lambda values: str(values.dtype),
    )
    def test_odd_columns_can_be_saved_and_have_a_text(self, values):
        found = dataset(values, text_columns=["details"])
        assert saved(found.items).equals(found.items)
        assert saved(found.items).schema == found.items.schema
        assert all(text is None or isinstance(text, str) for text in found.texts())

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            ([uuid.UUID(int=1), None], ["00000000-0000-0000-0000-000000000001", None]),
            ([Path("a/b"), "c"], ["a/b", "c"]),
            ([{"x", "y"}, {"z"}], [["x", "y"], ["z"]]),
            ([("a", "b"), ["c"]], [["a", "b"], ["c"]]),
            ([np.array([1.5]), np.array([2])], [[1.5], [2.0]]),
            ([{("k", 1): np.int64(2)}, {None: float("nan")}], ["{\"('k', 1)\": 2}", None]),
            ([{"x": dt.date(2024, 5, 17)}, "y"], ['{"x": "2024-05-17"}', "y"]),
            ([True, "x"], ["true", "x"]),
            ([1, 2.5], [1.0, 2.5]),
            ([[1], [2.5]], [[1.0], [2.5]]),
            ([["a", None], []], [["a", None], []]),
            ([2**130, 1], [str(2**130), "1"]),
            ([decimal.Decimal("NaN"), decimal.Decimal("1.5")], [None, decimal.Decimal("1.5")]),
            ([float("nan"), 1], [None, 1]),
            ([pd.NA, 1], [None, 1]),
            ([pd.NaT, dt.date(2024, 5, 17)], [None, dt.date(2024, 5, 17)]),
            ([np.datetime64("2024-05-17", "ns"), None], [dt.datetime(2024, 5, 17), None]),
            ([pd.NA, "x"], [None, "x"]),
            ([[pd.NA, 1], {"a": pd.NaT}], ["[1]", None]),
            ([range(2), None], ["range(0, 2)", None]),
            (["half a pair \ud800", "x"], ["half a pair ?", "x"]),
            ([{"\ud800": "\udfff"}, None], ['{"?": "?"}', None]),
            ([b"\xff", b"a"], [b"\xff", b"a"]),
            ([object, None], ["<class 'object'>", None]),
            (
                [dt.date(2024, 5, 17), dt.datetime(2024, 5, 17)],
                ["2024-05-17", "2024-05-17 00:00:00"],
            ),
        ],
    )
    def test_cells_of_any_kind_are_kept_or_become_text(self, cells: Sequence[Any], expected):
        frames = [
            pd.DataFrame({"item_id": [0, 1], "x": pd.Series(list(cells), dtype=object)}),
            {"item_id": [0, 1], "x": list(cells)},
        ]
        for frame in frames:
            found = Dataset.from_frames(frame, pl.DataFrame({"user_id": [1], "item_id": [0]}))
            assert found.items["x"].to_list() == expected
            assert saved(found.items).equals(found.items)

    @pytest.mark.parametrize(
        "cell", [10**5000, [10**5000], [10**5000, "a"]], ids=["number", "list", "mixed"]
    )
    def test_values_without_a_text_are_refused_in_one_line(self, cell):
        with pytest.raises(DataError, match=r"items, row 2, column 'x': found a value of type"):
            Dataset.from_frames(
                {"item_id": [0, 1], "x": ["plain", cell]}, {"user_id": [1], "item_id": [0]}
            )

    def test_values_nested_too_deep_are_refused_in_one_line(self):
        deep: list[Any] = []
        deep.append(deep)
        with pytest.raises(DataError, match=r"items, row 2, column 'x': found values nested too"):
            Dataset.from_frames(
                {"item_id": [0, 1], "x": ["plain", deep]}, {"user_id": [1], "item_id": [0]}
            )


@pytest.mark.parametrize("unit", ["s", "h", "W", "M", "ns"])
def test_moments_of_numpy_in_any_unit_are_dates(unit):
    values = np.array(["1970-01-01", "NaT"], dtype="datetime64[D]").astype(f"datetime64[{unit}]")
    items = {"item_id": [1, 2], "made": values}
    data = Dataset.from_frames(items, {"user_id": [1], "item_id": [1]})
    assert data.items["made"].to_list() == [dt.datetime(1970, 1, 1), None]


@pytest.mark.parametrize("year", ["0000", "300000"])
def test_moments_of_numpy_outside_the_calendar_are_refused(year):
    made = np.array(["2000", year], dtype="datetime64[s]")
    for items in (
        {"item_id": [1, 2], "made": made},
        pd.DataFrame({"item_id": [1, 2], "made": made}),
    ):
        with pytest.raises(DataError, match=f"items, row 2, column 'made': found {year}"):
            Dataset.from_frames(items, {"user_id": [1], "item_id": [1]})


@pytest.mark.parametrize("kind", ["float16", "longdouble", ">i4", ">f8"])
def test_numbers_of_numpy_of_any_size_are_numbers(kind):
    items = {"item_id": [1, 2], "x": np.array([1, 2], dtype=kind)}
    data = Dataset.from_frames(items, {"user_id": [1], "item_id": [1]})
    assert data.items["x"].to_list() == [1, 2]
    assert data.items["x"].dtype.is_numeric()


def test_an_array_without_dimensions_is_no_column():
    with pytest.raises(DataError, match="items, column 'x': found ndarray, expected a list"):
        Dataset.from_frames({"item_id": [1], "x": np.array(3)}, {"user_id": [1], "item_id": [1]})


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["a", ["b", "c"], None, []], ["a", "b, c", None, None]),
        ([["b", None], "a"], ["b", "a"]),
        (["", ["b"]], [None, "b"]),
        (["a", [1, 2]], ["a", "1, 2"]),
        (["a", [], {"x": 1}], ["a", None, '{"x": 1}']),
        (["[x] a", "b"], ["[x] a", "b"]),
    ],
)
def test_descriptions_that_are_text_or_lists_become_one_text(tmp_path, values, texts):
    rows = [{"item_id": n, "description": value} for n, value in enumerate(values)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "sequences.txt").write_text("u 0 1")
    log = {"user_id": [1], "item_id": [0]}
    for data in (Dataset.read(tmp_path), Dataset.from_frames(rows, log)):
        assert data.texts() == texts
