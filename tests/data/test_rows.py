"""Rows put together: the same one by one as all at once, and no value changed."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

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
        ([{"a": None}], [{"a": "x"}], pl.Struct({"a": pl.String})),
        ([1], [1.5], pl.Float64()),
    ],
)
def test_nulls_and_empty_lists_take_the_type_of_what_comes(first, second, kind):
    found = joined_rows([pl.DataFrame({"x": first}), pl.DataFrame({"x": second})])
    assert found.schema["x"] == kind


def test_types_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="column 'x': found String, expected Int64"):
        joined_rows([pl.DataFrame({"x": [1]}), pl.DataFrame({"x": ["a"]})])


def test_rows_are_cast_only_where_no_value_changes():
    items = pl.DataFrame({"item_id": ["a"], "n": [1], "tags": [[]], "date": ["x"]})
    assert as_in(pl.DataFrame({"item_id": ["b"], "n": [2.0]}), items)["n"].to_list() == [2]
    assert as_in(pl.DataFrame({"item_id": ["b"], "tags": [["x"]]}), items)["tags"][0].to_list() == [
        "x"
    ]
    with pytest.raises(DataError, match=r"item 'b', column 'n': found 9\.99, expected Int64"):
        as_in(pl.DataFrame({"item_id": ["b"], "n": [9.99]}), items)
