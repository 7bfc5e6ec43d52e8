"""Conditions: what they allow, what they refuse, and that nothing else ever happens."""

import operator
import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import product

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgrec.conditions.grammar import DEEPEST, TESTS
from mgrec.conditions.masks import mask
from mgrec.conditions.tokens import LONGEST
from mgrec.errors import RequestError
from mgrec.variety import attributes

NAN, INF = float("nan"), float("inf")
ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "price": [1.0, 25.0, None, NAN],
        "count": pl.Series([1, 200, 3, None], dtype=pl.UInt8),
        "big": [2**53, 2**53 + 1, -1, None],
        "half": pl.Series([0.1, 0.5, 2.0, None], dtype=pl.Float32),
        "exact": [Decimal("1.50"), Decimal("2.25"), None, Decimal("0")],
        "category": ["toys", "games", None, "Toys"],
        "tags": [["x", "y"], [], None, ["z", None]],
        "sizes": [[1, 2], [3], None, []],
        "new": [True, False, None, True],
        "day": [date(2024, 1, 1), date(2024, 5, 1), None, date(2025, 1, 1)],
        "moment": [datetime(2024, 1, 1, 12), None, datetime(2023, 1, 1), datetime(2026, 1, 1)],
        "nested": [{"a": 1}, None, {"a": 2}, {"a": 3}],
        "the name": ["p", "q", "r", "s"],
    }
).with_columns(berlin=pl.col("moment").dt.replace_time_zone("Europe/Berlin"))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ('price < 20 and category in ["toys"]', "a"),
        ("price <= 25", "ab"),
        ("not price < 20", "b"),
        ("price != 1", "b"),
        ("price is null", "cd"),
        ("price IS NOT NULL", "ab"),
        ("price is null or (price == 1.0 and new)", "acd"),
        ("count == 300", ""),
        ("count < 300 and not count == -5", "abc"),
        ("count in [1, 3.0, 2.5, 300, -1]", "ac"),
        ("count not in [1]", "bc"),
        ("count > 2.5", "bc"),
        ("count < 1e400", "abc"),
        ("count > -" + "9" * 60, "abc"),
        (f"big == {2**53 + 1}", "b"),
        ("half == 0.1", "a"),
        ("exact >= 1.5", "ab"),
        ('category == "toys"', "a"),
        ("category != 'toys'", "bd"),
        ('category >= "h"', "a"),
        ('category contains "oy"', "ad"),
        ('category not contains "oy"', "b"),
        ('category contains "."', ""),
        ('"oy" in category', "ad"),
        ('category = "toys"', "a"),
        ('tags contains "x"', "a"),
        ('"x" in tags', "a"),
        ('"x" not in tags', "bd"),
        ('tags in ["z", "y"]', "ad"),
        ('tags not in ("z", "y",)', "b"),
        ("sizes contains 3.0", "b"),
        ("sizes contains 2.5", ""),
        ("sizes in []", ""),
        ("new", "ad"),
        ("not new", "b"),
        ("new == false or new in [true]", "abd"),
        ('day >= "2024-02-01"', "bd"),
        ('"2024-01-01" <= day < "2025-01-01"', "ab"),
        ('moment < "2024-01-01T12:00:01"', "ac"),
        ('berlin == "2024-01-01T11:00Z"', "a"),
        ('berlin == "2024-01-01T12:00+01:00"', "a"),
        ("5 < price", "b"),
        ("nested is null", "b"),
        ("`the name` in ['p', 's']", "ad"),
        ('item_id > "b"', "cd"),
        ("not not not (new or new)", "b"),
        ("not (price < 20 or price >= 20)", ""),
        ("category == 'to\\'ys'\n\tor new", "ad"),
    ],
)
def test_a_condition_allows_just_what_it_says(where, expected):
    assert "".join(ITEMS["item_id"].filter(pl.Series(mask(where, ITEMS)))) == expected


def test_a_column_that_is_text_by_one_value_is_refused_with_that_value():
    items = pl.DataFrame({"item_id": [1, 2, 3], "price": ["9.5", "-", "12"]})
    with pytest.raises(RequestError) as refused:
        mask("price < 20", items)
    assert "as column 'price' has: it is text, since row 2 of the items has '-'" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("where", "place", "message"),
    [
        ("pric < 3", 1, "unknown attribute 'pric'. Did you mean 'price'?"),
        ("new and zzz == 1", 9, "unknown attribute 'zzz'. Expected one of 'item_id, price"),
        ('price < "3"', 9, "found '\"3\"', expected a number, as column 'price' has"),
        ("category == 3", 13, "expected a text in quotes, as column 'category' has"),
        ("category == toys", 13, "texts stand in quotes"),
        ("new == 1", 8, "expected true or false"),
        ("day > 2024", 7, "expected a date in quotes"),
        ('day > "soon"', 7, "expected a date such as 2024-05-17"),
        ('moment > "0001-01-01T00:00+14:00"', 10, "expected a date"),
        ("price <", 8, "found the end, expected a column or a value"),
        ("price < 3 4", 11, "found '4', expected 'and', 'or' or the end"),
        ("(price < 3", 11, "expected ')' for the bracket at character 1"),
        ("price contains 3", 1, "column 'price' has numbers"),
        ('tags == "x"', 1, "column 'tags' has lists"),
        ("nested == 1", 1, "column 'nested' has what no condition reads"),
        ("price", 1, "expected a comparison, or a column of true and false"),
        ("price == null", 10, "for what is missing write: is null"),
        ("price is 3", 10, "expected 'null' or 'not null'"),
        ("price not 3", 11, "expected 'in' or 'contains'"),
        ('category in "toys"', 13, 'expected a list, such as ["a", "b"]'),
        ('category in ["toys" "games"]', 21, "expected ',' or ']'"),
        ('category == "toys', 13, 'expected a closing " somewhere behind it'),
        ("price & 3", 7, "found '& 3', expected a column"),
        ("1 < 2", 5, "expected a column"),
        ("3", 2, "expected a comparison"),
        ("", 1, "found the end"),
        ("price < 3 -- new", 11, "found '-- new'"),
        ("__import__('os')", 11, "expected 'and', 'or' or the end"),
        ('category == "\ud800"', 13, "text that can be written as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line_at_its_place(where, place, message):
    with pytest.raises(RequestError) as refused:
        mask(where, ITEMS)
    assert str(refused.value).startswith(f"where, character {place}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("(" * 4000, f"at most {DEEPEST} brackets"),
        ("not " * 1000 + "new", f"at most {DEEPEST} brackets"),
        ("new or " * (TESTS + 1) + "new", f"at most {TESTS} comparisons"),
        ("x" * (LONGEST + 1), "expected at most 4,096"),
        (7, "expected a condition as text"),
        ('"' + "\\" * 4000, "closing"),
        ("'" * 4001, "expected"),
        ("1" * 4000 + "e", "expected"),
        (" " * 4000 + "\x00", "expected"),
        ("a" * 4000, "unknown attribute"),
    ],
)
def test_what_is_made_to_exhaust_the_reader_is_refused_at_once(where, message):
    begun = time.process_time()
    with pytest.raises(RequestError, match=message):
        mask(where, ITEMS)
    assert time.process_time() - begun < 0.5


def test_numbers_beyond_all_floats_are_compared_as_infinite():
    huge = "9" * 400
    for where in (f"price < {huge}", f"price > -{huge}", f"price not in [{huge}]"):
        assert mask(where, ITEMS).tolist() == [True, True, False, False]
    assert mask(f"big < {huge} and big != -{huge}", ITEMS).tolist() == [True, True, True, False]


def test_the_deepest_and_longest_condition_is_answered():
    deep = "(" * DEEPEST + "new" + ")" * DEEPEST
    assert mask(deep, ITEMS).sum() == 2
    assert mask(" or ".join(["new"] * TESTS), ITEMS).sum() == 2


# ---- against an evaluator that is slow and obvious: None is unknown

SIGNS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -1.5, 2.0]))
words = st.sampled_from(["x", "y", "it's", 'a"b', "\\", "", "é"])


def quoted(word):
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unknown_or(value, found):
    return None if value is None or value != value else found(value)


compared = st.tuples(st.sampled_from(["i", "f"]), st.sampled_from(sorted(SIGNS)), numbers).map(
    lambda t: (
        f"{t[0]} {t[1]} {t[2]}",
        lambda row: unknown_or(row[t[0]], lambda v: SIGNS[t[1]](v, t[2])),
    )
)
spelled = st.tuples(st.sampled_from(sorted(SIGNS)), words).map(
    lambda t: (
        f"s {t[0]} {quoted(t[1])}",
        lambda row: unknown_or(row["s"], lambda v: SIGNS[t[0]](v, t[1])),
    )
)
among = st.lists(words, max_size=3).map(
    lambda ws: (
        f"s in [{', '.join(map(quoted, ws))}]",
        lambda row: unknown_or(row["s"], lambda v: v in ws),
    )
)
held = words.map(
    lambda w: (f"l contains {quoted(w)}", lambda row: unknown_or(row["l"], lambda v: w in v))
)
missing = st.sampled_from(["i", "f", "s", "l"]).map(
    lambda c: (f"{c} is null", lambda row: row[c] is None or row[c] != row[c])
)
flag = st.just(("b", lambda row: row["b"]))


def inverted(part):
    def found(row):
        truth = part[1](row)
        return None if truth is None else not truth

    return f"not ({part[0]})", found


def joined(parts):
    word, left, right = parts
    decisive = word == "or"

    def found(row):
        both = [left[1](row), right[1](row)]
        if decisive in both:
            return decisive
        return None if None in both else not decisive

    return f"({left[0]}) {word} ({right[0]})", found


conditions = st.recursive(
    st.one_of(compared, spelled, among, held, missing, flag),
    lambda inner: st.one_of(
        inner.map(inverted), st.tuples(st.sampled_from(["and", "or"]), inner, inner).map(joined)
    ),
    max_leaves=8,
)
tables = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-3, 3),
            "f": st.none() | st.sampled_from([0.5, -1.5, 2.0, NAN]),
            "s": st.none() | words,
            "l": st.none() | st.lists(words, max_size=3),
            "b": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=8,
)
SCHEMA = {"i": pl.Int32, "f": pl.Float64, "s": pl.String, "l": pl.List(pl.String), "b": pl.Boolean}


@settings(max_examples=300, deadline=None)
@given(conditions, tables)
def test_conditions_hold_where_the_slow_and_obvious_reading_says(condition, rows):
    text, holds = condition
    found = mask(text, pl.DataFrame(rows, schema=SCHEMA))
    assert found.tolist() == [holds(row) is True for row in rows]


PIECES = [
    "and",
    "or",
    "not",
    "in",
    "contains",
    "is",
    "null",
    "true",
    "false",
    "(",
    ")",
    "[",
    "]",
    ",",
    "==",
    "!=",
    "<",
    ">=",
    "=",
    '"toys"',
    "'x'",
    '"2024-01-01"',
    "1",
    "-2.5",
    "1e999",
    '"',
    "\\",
    "`",
    "é",
    "__class__",
    "1_0",
    "0x1",
]
pieces = st.sampled_from([*ITEMS.columns, *PIECES, "`the name`", "9" * 50, "\n", "\x00"])


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=25).map(" ".join)))
def test_whatever_is_asked_is_answered_or_refused_in_one_line(text):
    try:
        found = mask(text, ITEMS)
    except RequestError as error:
        refused = str(error)
        found = None
    if found is None:
        assert "\n" not in refused
        assert len(refused) < 500
    else:
        assert found.shape == (4,)
        assert found.dtype == bool


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(st.lists(pieces, max_size=40).map(" ".join))
def test_whatever_is_asked_at_length(text):
    test_whatever_is_asked_is_answered_or_refused_in_one_line.hypothesis.inner_test(text)


def columns_of_every_type() -> list[pl.Series]:
    """Columns with extreme values, alone, in lists and in arrays."""
    integers = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
    days = pl.Series([1_715_900_000, 5], dtype=pl.Int32).cast(pl.Date)
    ticks = pl.Series([2**62, -(2**62)])
    edges = [datetime(1, 1, 1), datetime(9999, 12, 31, 23)]
    found = [
        *(pl.Series([5, None], dtype=dtype) for dtype in integers),
        *(pl.Series([1.5, NAN], dtype=dtype) for dtype in (pl.Float32, pl.Float64)),
        *(pl.Series([INF, None]), pl.Series([-(2**127), 2**127 - 1], dtype=pl.Int128)),
        *(pl.Series([2**128 - 1, 0], dtype=pl.UInt128), pl.Series(["1.50", None])),
        pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(38, 10)),
        *(pl.Series([True, None]), pl.Series(["", "a"], dtype=pl.Categorical)),
        *(pl.Series([date(1, 1, 1), None]), days, pl.Series(edges)),
        *(ticks.cast(pl.Datetime(unit)) for unit in ("ms", "us", "ns")),
        ticks.cast(pl.Datetime("ms", "Europe/Berlin")),
        pl.Series(edges).dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York"),
        *(pl.Series([timedelta(1), None]), pl.Series([edges[0].time(), None])),
        *(pl.Series([b"a", None]), pl.Series([{"a": 1}, None]), pl.Series([[[1]], None])),
    ]
    nested = [pl.select(pl.concat_list(column, column)).to_series() for column in found]
    arrays = [column.list.to_array(2) for column in nested]
    bare = [pl.Series([None, None]), pl.Series([object(), None], dtype=pl.Object)]
    every = [*found, *nested, *arrays, *bare, pl.Series([[], None])]
    return [column.alias(f"column {n}") for n, column in enumerate(every)]


LITERALS = [
    *("1", "-1.5", "1e999", "1e-400", str(10**40), str(2**63), "true", '"a"', "''", '"2024-05-17"'),
    *('"2024-05-17T10:00:00+14:00"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"'),
]
ASKED = [
    *("{c} == {v}", "{c} != {v}", "{v} < {c} <= {v}", "{c} in [{v}]", "not {c} in [{v}, {v}]"),
    *("{c} in []", "{c} contains {v}", "{v} not in {c}", "{c}", "not {c}", "{c} is null"),
]


def test_every_test_of_every_type_is_answered_or_refused():
    items = pl.DataFrame(columns_of_every_type())
    answers, refusals = 0, []
    for column, how, value in product(items.columns, ASKED, LITERALS):
        try:
            found = mask(how.format(c=f"`{column}`", v=value), items)
        except RequestError as error:
            refusals.append(str(error))
            continue
        assert (found.dtype, found.shape) == (bool, (2,))
        answers += 1
    of = attributes(items)
    for column in items.columns:
        try:
            assert len(of(column)) == 2
        except RequestError as error:
            refusals.append(str(error))
    assert answers > 1000
    assert all("\n" not in line for line in refusals)


def test_a_date_outside_the_calendar_is_unknown():
    days = pl.Series("day", [1_715_900_000, 19_860], dtype=pl.Int32).cast(pl.Date)
    for where, expected in (
        ("day > '2024-01-01'", [False, True]),
        ("not day > '2024-01-01'", [False, False]),
        ("day is null", [True, False]),
    ):
        assert mask(where, pl.DataFrame({"day": days})).tolist() == expected
