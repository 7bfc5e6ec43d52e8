"""Casts between column types: what they keep, and what they leave out since it would change."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import product

import polars as pl
import pytest

from mgrec.data.casts import lossless

NAN, INF = float("nan"), float("inf")
DAY = date(2024, 5, 17)
BERLIN = pl.Datetime("us", "Europe/Berlin")


def moment(*clock: int) -> datetime:
    return datetime(2024, 5, 17, *clock)


CASES = [
    (pl.Float64, pl.Int64, [9.0, 9.99, -0.0, NAN, INF, 1e300, None], [9, None, 0, *[None] * 4]),
    (pl.Int64, pl.Int8, [7, -128, 128, None], [7, -128, None, None]),
    (pl.Int64, pl.UInt8, [7, -1, 256], [7, None, None]),
    (pl.UInt64, pl.Int64, [7, 2**63], [7, None]),
    (pl.Int128, pl.Int64, [7, 2**100], [7, None]),
    (pl.Int64, pl.Float64, [7, 2**53, 2**53 + 1], [7.0, 2.0**53, None]),
    (pl.Int64, pl.Float32, [7, 2**24 + 1], [7.0, None]),
    (pl.Float64, pl.Float32, [0.5, 1e300, None], [0.5, None, None]),
    (pl.Float64, pl.Decimal(10, 2), [9.99, 9.999, 1e30], [Decimal("9.99"), None, None]),
    (pl.Decimal(10, 2), pl.Int64, [Decimal("9"), Decimal("9.50")], [9, None]),
    (pl.Decimal(10, 2), pl.Float64, [Decimal("9.99")], [9.99]),
    (pl.Boolean, pl.Int64, [True, False], [None, None]),
    (pl.Boolean, pl.Float64, [True], [None]),
    (pl.Int64, pl.Boolean, [1, 0, 2], [True, False, None]),
    (pl.Float64, pl.Boolean, [1.0, 0.0, 0.5], [True, False, None]),
    (
        pl.String,
        pl.Int64,
        ["12", " 12", "9.0", "12.50", "x", "", "1e3", "0x1F", "9007199254740993"],
        [12, 12, 9, None, None, None, 1000, None, 2**53 + 1],
    ),
    (pl.String, pl.Float64, ["12.50", "1e999", "nan", "1,5"], [12.5, None, None, None]),
    (pl.String, pl.Decimal(10, 2), ["12.50", "12.505"], [Decimal("12.50"), None]),
    (pl.String, pl.Boolean, ["true", "False", " TRUE", "no", "1"], [True, False, True, None, None]),
    (
        pl.String,
        pl.Date,
        ["2024-05-17", "2024-05-17T00:00:00Z", "2024-05-17T10:00:00", "2024-02-30", "17.5.2024"],
        [DAY, DAY, None, None, None],
    ),
    (
        pl.String,
        pl.Datetime("ms"),
        ["2024-05-17T12:30:00+02:00", "2024-05-17", "1715900000", "2024-05-17T10:00:00.000001"],
        [moment(10, 30), moment(), None, None],
    ),
    (pl.Datetime("us"), pl.Date, [moment(), moment(1)], [DAY, None]),
    (pl.Date, pl.Datetime("ns"), [DAY, date(9999, 1, 1)], [moment(), None]),
    (pl.Int64, pl.Date, [1_715_900_000, 0], [None, None]),
    (pl.Int64, pl.Datetime("us"), [1_715_900_000], [None]),
    (pl.Float64, pl.Datetime("us"), [1.5], [None]),
    (pl.Int64, pl.String, [7, None], ["7", None]),
    (pl.Float64, pl.String, [1.5, NAN], ["1.5", None]),
    (pl.Date, pl.String, [DAY], ["2024-05-17"]),
    (pl.Boolean, pl.String, [True], ["true"]),
    (pl.String, pl.List(pl.String), ["red"], [None]),
    (pl.List(pl.String), pl.String, [["red"]], [None]),
    (
        pl.List(pl.Float64),
        pl.List(pl.Int64),
        [[1.0, 2.0], [1.5], [], None, [None, 3.0]],
        [[1, 2], None, [], None, [None, 3]],
    ),
    (pl.Null, pl.Date, [None], [None]),
    (pl.List(pl.Null), pl.List(pl.String), [[], None], [[], None]),
]


@pytest.mark.parametrize(("found", "wanted", "values", "expected"), CASES, ids=str)
def test_a_value_is_kept_exactly_or_left_out(found, wanted, values, expected):
    made = lossless(pl.Series("x", values, dtype=found), wanted)
    assert made.dtype == wanted
    assert made.name == "x"
    assert made.to_list() == expected


def test_moments_without_a_zone_are_in_utc():
    berlin = lossless(pl.Series([moment(10)]), BERLIN)
    assert berlin.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_list() == [moment(10)]
    assert lossless(berlin, pl.Datetime("us")).to_list() == [moment(10)]
    assert lossless(pl.Series(["2024-05-17T10:00:00"]), BERLIN).to_list() == berlin.to_list()


def test_every_pair_of_types_has_an_answer():
    values = {
        pl.Boolean(): [True, None],
        pl.Int8(): [-128, 127],
        pl.UInt64(): [2**64 - 1, 0],
        pl.Int128(): [-(2**127), 2**127 - 1],
        pl.UInt128(): [2**128 - 1, 1],
        pl.Float32(): [3e38, NAN],
        pl.Float64(): [-INF, 1e-300],
        pl.Decimal(38, 10): [Decimal("1.5"), None],
        pl.String(): ["x", "9" * 50],
        pl.Date(): [date(1, 1, 1), date(9999, 12, 31)],
        pl.Datetime("ms"): [datetime(1, 1, 1), datetime(9999, 12, 31)],
        pl.Datetime("ns"): [moment(1), None],
        BERLIN: [None, None],
        pl.Time(): [moment(1).time(), None],
        pl.Duration("us"): [timedelta(1), None],
        pl.Binary(): [b"x", None],
        pl.List(pl.Int64): [[1, None], []],
        pl.List(pl.List(pl.Date)): [[[DAY]], None],
        pl.Array(pl.Int8, 2): [[1, 2], None],
        pl.Struct({"a": pl.Int8}): [{"a": 1}, None],
        pl.Object(): [object(), None],
        pl.Null(): [None, None],
    }
    for (dtype, cells), wanted in product(values.items(), values):
        made = lossless(pl.Series(cells, dtype=dtype), wanted)
        assert (made.dtype, len(made)) == (wanted, 2)
