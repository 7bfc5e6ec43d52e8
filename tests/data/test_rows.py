"""Rows put together: the same one by one as all at once, and no value changed."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from mgrec.data.rows import as_in, joined_rows
from mgrec.errors import DataError

COLUMNS = {
    "nothing": st.none(),
    "text": st.none() | st.text(max_size=3),
    "number": st.none() | st.integers(-9, 9),
    "fraction": st.none() | st.sampled_from([0.5, 1.0, -2.25]),
    "tags": st.none() | st.lists(st.none() | st.text(max_size=2), max_size=2),
}
FRAMES = st.lists(
    st.fixed_dictionaries(
        {}, optional={n: st.lists(v, min_size=1, max_size=1) for n, v in COLUMNS.items()}
    )
    .filter(bool)
    .map(pl.DataFrame),
    min_size=1,
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # on a busy machine
@given(FRAMES)
def test_one_by_one_is_as_all_at_once(frames):
    one_by_one = frames[0]
    for frame in frames[1:]:
        one_by_one = joined_rows([one_by_one, frame])
    assert_frame_equal(joined_rows(frames), joined_rows([one_by_one]))


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ([None], ["Acme"], pl.String()),
        ([[]], [["red"]], pl.List(pl.String)),
        ([[None]], [[1]], pl.List(pl.Int64)),
        ([1], [1.5], pl.Float64()),
    ],
)
def test_nulls_and_empty_lists_take_the_type_of_what_comes(first, second, kind):
    found = joined_rows([pl.DataFrame({"x": first}), pl.DataFrame({"x": second})])
    assert found.schema["x"] == kind


def test_types_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="column 'x': found String, expected Int64"):
        joined_rows([pl.DataFrame({"x": [1]}), pl.DataFrame({"x": ["a"]})])


def place(row, column):
    return f"row {row + 1}, column '{column}'"


@pytest.mark.parametrize(
    ("have", "rows", "expected"),
    [
        ([1], [None, 2.0], pl.Series("x", [None, 2], dtype=pl.Int64)),
        ([[]], [["x"]], pl.Series("x", [["x"]])),
        ([None], ["x"], pl.Series("x", ["x"])),
        ([None], [None], pl.Series("x", [None])),
    ],
)
def test_rows_take_the_types_of_the_catalogue(have, rows, expected):
    found = as_in(pl.DataFrame({"x": rows}), pl.DataFrame({"x": have}).schema, place)
    assert_series_equal(found["x"], expected)


def test_a_list_and_its_text_stand_for_each_other_in_text_columns_only():
    rows, schema = pl.DataFrame({"x": ["a"]}), pl.Schema({"x": pl.List(pl.String)})
    assert as_in(rows, schema, place, ["x"])["x"].to_list() == [["a"]]
    with pytest.raises(DataError, match="row 1, column 'x': found 'a', expected a list"):
        as_in(rows, schema, place)


def test_a_value_that_would_change_is_refused_with_its_row():
    rows = pl.DataFrame({"x": [9.0, 9.99]})
    with pytest.raises(DataError) as error:
        as_in(rows, pl.Schema({"x": pl.Int64}), place)
    assert str(error.value) == (
        "row 2, column 'x': found 9.99, expected a whole number (Int64), as in the catalogue"
    )
