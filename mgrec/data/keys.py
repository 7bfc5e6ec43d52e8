"""Ids from outside, in the type that they are looked up in."""

from __future__ import annotations

import numpy as np
import polars as pl

from mgrec.data.columns import retyped


def key(value: object, dtype: pl.DataType) -> object:
    """Return an id in the type that is looked up, None where it can be no id."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | str | np.integer):
        return None
    plain = int(value) if isinstance(value, np.integer) else value
    if isinstance(plain, int) and dtype == pl.Int64 and not -(2**63) <= plain < 2**63:
        return None
    if isinstance(plain, int) and dtype == pl.String:
        return str(plain)
    if isinstance(plain, str) and dtype == pl.Int64:
        return retyped(pl.Series([plain]), dtype)[0]
    return plain
