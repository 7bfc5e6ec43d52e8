"""Column names: per file, and columns of the log that are passed over."""

import polars as pl
import pytest

from mgrec.data.dataset import Dataset
from mgrec.errors import DataError

PRODUCTS = pl.DataFrame({"id": range(1, 41), "title": [f"Product {k}" for k in range(1, 41)]})
ORDERS = pl.DataFrame(
    {
        "id": range(1, 37),
        "user_id": [n // 6 for n in range(36)],
        "product_id": [(n * 7) % 20 + 1 for n in range(36)],
    }
)
RIGHT = {"items.item_id": "id", "interactions.item_id": "product_id"}


def read(columns, items=PRODUCTS, log=ORDERS) -> Dataset:
    return Dataset.from_frames(items, log, columns=columns)


def bought(data: Dataset, user: int) -> list[int]:
    row = data.users.to_list().index(user)
    return [data.items["item_id"][int(i)] for i in data.log[row]]


def test_a_column_is_mapped_for_one_file_alone():
    for columns in (RIGHT, {"item_id": "id", "interactions.item_id": "product_id"}):
        data = read(columns)
        assert bought(data, 1) == ORDERS.filter(user_id=1)["product_id"].to_list()
        assert "product_id" not in "".join(data.notes.warnings)
        assert data.columns == {"item_id": "id"}


def test_a_row_number_is_not_taken_for_the_item():
    with pytest.raises(DataError) as error:
        read({"item_id": "id"})
    message = str(error.value)
    assert "column 'id' would be item_id, but each of 36 rows has a different value" in message
    for flag in ("items.item_id=id", "interactions.item_id=product_id", "interactions.item_id=id"):
        assert f"--column {flag}" in message


def test_our_own_column_of_the_log_is_not_passed_over():
    log = ORDERS.rename({"product_id": "item_id"})
    with pytest.raises(DataError, match=r"found columns 'item_id' and 'id'.*items\.item_id=id"):
        read({"item_id": "id"}, log=log)
    assert bought(read({"items.item_id": "id"}, log=log), 0) == log["item_id"][:6].to_list()


def test_a_column_of_both_files_is_suggested_for_both():
    items = PRODUCTS.with_columns(sku=pl.format("S{}", "id"))
    log = ORDERS.select("id", "user_id", sku=pl.format("S{}", "product_id"))
    with pytest.raises(DataError, match="expected a name for each file: --column item_id=sku, or"):
        read({"item_id": "id"}, items, log)
    assert bought(read({"item_id": "sku"}, items, log), 0) == log["sku"][:6].to_list()


def test_a_row_number_that_is_named_for_the_log_is_warned_of():
    data = read({"items.item_id": "id", "interactions.item_id": "id"})
    assert "each of 36 rows has a different item_id" in data.notes.warnings[0]
    assert "--column interactions.item_id=product_id" in data.notes.warnings[0]


def test_items_that_never_repeat_are_warned_of():
    log = pl.DataFrame({"user_id": [n // 6 for n in range(36)], "item_id": range(36)})
    (warning, *_) = Dataset.from_frames(None, log).notes.warnings
    assert "each of 36 rows has a different item_id" in warning
    assert "nothing can be learned" in warning


def test_an_order_number_of_several_rows_is_not_taken_for_the_item():
    log = ORDERS.with_columns(id=pl.col("id") // 2 + 1)
    with pytest.raises(DataError, match="its name could be any number"):
        read({"item_id": "id"}, log=log)


def test_a_row_number_is_not_taken_for_the_user():
    log = ORDERS.rename({"user_id": "customer_id"})
    with pytest.raises(DataError, match=r"--column interactions\.user_id=customer_id"):
        read({"user_id": "id", **RIGHT}, log=log.with_columns(row=pl.col("id")))


def test_a_second_column_of_the_catalogues_ids_is_warned_of():
    items = pl.DataFrame({"sku": ["a", "b", "c"], "title": ["x", "y", "z"]})
    log = pl.DataFrame({"user_id": [1, 1, 1, 2], "sku": ["a", "b", "a", "c"]})
    log = log.with_columns(bought=pl.Series(["c", "c", "b", "a"]))
    (first, *_) = read({"item_id": "sku"}, items, log).notes.warnings
    assert "column 'bought', which is not used, holds ids of the catalogue" in first
    assert "column 'bought'" not in "".join(
        read({"items.item_id": "sku", "interactions.item_id": "sku"}, items, log).notes.warnings
    )


@pytest.mark.parametrize("other", ["rating", "order_id", "session_id", "price", "genre_id"])
def test_what_is_no_item_id_is_not_warned_of(other):
    log = ORDERS.drop("id").with_columns(pl.Series(other, [n % 5 + 1 for n in range(36)]))
    data = read({"items.item_id": "id", "item_id": "product_id"}, log=log)
    assert data.notes.warnings == ()


def test_the_hint_of_a_refusal_is_the_column_of_that_file():
    with pytest.raises(DataError) as error:
        read({"item_id": "product_id"})
    assert "items: no column 'product_id' or 'item_id'" in str(error.value)
    assert "Map it: --column items.item_id=id" in str(error.value)
    assert "title'?" not in str(error.value)
    with pytest.raises(DataError, match=r"--column interactions\.user_id=customerId"):
        read(RIGHT, log=ORDERS.rename({"user_id": "customerId"}))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"items.user_id": "id"}, "'items.user_id=id': expected one of item_id, text, image"),
        ({"log.item_id": "id"}, "'log.item_id=id'"),
        ({"items.item_id": "sku"}, "no 'sku' in items, found"),
        ({"interactions.item_id": "productid"}, "Did you mean 'product_id'?"),
        ({"items.item_id": "id", "items.text": "id"}, "one column twice"),
        ({"item_id": None}, "columns: found 'item_id': None, expected two names"),
        (["item_id=id"], "columns: found list, expected such as"),
    ],
)
def test_a_mapping_that_fits_no_file_is_refused(columns, said):
    with pytest.raises(DataError) as error:
        read(columns)
    assert said in str(error.value)


def test_a_mapping_of_the_log_leaves_the_items_alone():
    items = PRODUCTS.with_columns(date=pl.lit("2020-01-01"))
    log = ORDERS.with_columns(date=pl.lit("2024-01-01"))
    assert "date" in read({**RIGHT, "timestamp": "date"}, items, log).items.columns


def test_a_mapping_of_a_file_with_other_separators_names_them(tmp_path):
    (tmp_path / "items.csv").write_text("sku;title\n1;x\n")
    (tmp_path / "sequences.txt").write_text("u 1 2 3")
    with pytest.raises(DataError, match="Columns are separated by commas") as caught:
        Dataset.read(tmp_path, columns={"items.item_id": "sku"})
    assert "Did you mean" not in str(caught.value)


def test_options_to_paste_are_quoted():
    (warning, *_) = timed("order date", ["2024-01-03", "2024-01-02", "2024-01-01"]).notes.warnings
    assert "--column 'timestamp=order date'" in warning
    (warning, *_) = timed("date\n1", ["2024-01-03", "2024-01-02", "2024-01-01"]).notes.warnings
    assert "\n" not in warning


@pytest.mark.parametrize("name", ["items.tsv", "ITEMS.CSV", "items.json", "products.csv"])
def test_a_table_that_is_not_read_as_items_is_warned_of(tmp_path, name):
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,1\nu,2\n")
    (tmp_path / name).write_text("item_id\n1\n")
    warnings = "\n".join(Dataset.read(tmp_path).notes.warnings)
    assert f"in the folder, not read: {name}; expected items.parquet" in warnings


def timed(name: str, values: list) -> Dataset:
    log = pl.DataFrame({"user_id": [1] * len(values), "item_id": range(len(values)), name: values})
    return Dataset.from_frames(None, log)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("date_added", ["2017-09-30T00:00:00", "2017-09-27T00:00:00", "2017-09-24T00:00:00"]),
        ("createdAt", [1_700_000_000, 1_600_000_000, 1_500_000_000]),
        ("Timestamp", [3, 2, 1]),
        ("x", ["2017-09-30", "2017-09-27", "2017-09-24"]),
        ("x", [1_700_000_000_000, 1_600_000_000_000, 1_500_000_000_000]),
        ("x", [20240131, 20240130, 20240129]),
        ("x", pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 3), eager=True).to_list()),
    ],
)
def test_moments_of_another_name_are_warned_of(name, values):
    (warning, *_) = timed(name, values).notes.warnings
    assert f"--column timestamp={name}" in warning
    assert "so the rows are taken to be in order of time" in warning


def test_moments_that_cannot_be_read_are_warned_of_too():
    (warning, *_) = timed("date", ["31/01/2024", "30/01/2024", "29/01/2024"]).notes.warnings
    assert "write ISO dates in every row (found '31/01/2024')" in warning


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rating", [5, 4, 3]),
        ("comment", ["a", "b", "c"]),
        ("position", [100, 200, 300]),
        ("watch_time", [17, 4, 90]),
        ("date", ["2024-01-01"] * 3),
    ],
)
def test_what_is_no_moment_is_not_warned_of(name, values):
    assert "unused_moments" not in timed(name, values).notes.counts


def test_the_order_is_stated_with_its_ties():
    log = pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [1, 2, 3, 1]})
    without = Dataset.from_frames(None, log).notes.order
    assert "ordered as the rows of interactions, not by time" in without
    timed = log.with_columns(when=pl.Series([5, 7, 7, 7]))
    order = Dataset.from_frames(None, timed, columns={"timestamp": "when"}).notes.order
    assert "ordered by time (column 'when', Unix seconds" in order
    assert "2 of 4 have the same time as another one of the same user" in order
    assert "keep the order of the file" in order
