"""Ids: which values are valid, and their form for lookups."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction

import numpy as np
import polars as pl

_LARGEST, _DIGITS = 2**128, 39  # of a whole number; a UUID's fits
# Below these, floats of so many bytes represent every whole number exactly.
_EXACT = {2: 2.0**8, 4: 2.0**24, 8: 2.0**53}
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_NEVER = (bool, bytes, bytearray, memoryview, date, time, timedelta, np.datetime64, np.timedelta64)


def plain(value: object) -> int | str | None:
    """Return an id as a whole number or text, None if the value cannot be an id.

    A whole number may have any numeric type, or be an array or tensor without dimensions: 3.0 is
    3. Other single values, such as a UUID or a path, are ids by their text, and an Enum by its
    value. Booleans, dates, bytes, empty text, missing values and collections are not ids.
    """
    if isinstance(value, str):
        return str.__str__(value) or None
    if type(value) is int:  # the usual case, checked first for speed
        return value if abs(value) < _LARGEST else None
    if isinstance(value, _NEVER):
        return None
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return _of_scalar(value)
    if isinstance(value, int):
        return int(value) if abs(value) < _LARGEST else None
    if isinstance(value, float):
        return int(value) if abs(value) < _EXACT[8] and value.is_integer() else None
    if isinstance(value, Decimal):
        short = value.is_finite() and value.adjusted() < _DIGITS  # others may take very long
        return plain(int(value)) if short and value == int(value) else None
    if isinstance(value, Fraction):
        return plain(int(value)) if value.denominator == 1 else None
    if isinstance(value, Enum):
        return plain(value.value)
    bare = type(value).__str__ is object.__str__ or type(value).__hash__ is None
    if bare or isinstance(value, Iterable | BaseException):
        return None
    return str(value) or None


def _of_scalar(value: object) -> int | str | None:
    """Return the id of a NumPy scalar, or of an array or tensor without dimensions."""
    inner = value.item()  # type: ignore[attr-defined]
    if isinstance(inner, float):
        size = min(value.dtype.itemsize, 8)  # type: ignore[attr-defined]
        return plain(inner) if abs(inner) < _EXACT[size] else None
    return None if type(inner) is type(value) else plain(inner)


def key(value: object, dtype: pl.DataType) -> int | str | None:
    """Return an id in the type of the catalogue's ids, None if it is not an id of that type.

    Text matches a whole number where it is written as one: "7", but not "007" or "7.0".
    """
    known = plain(value)
    if dtype == pl.String:
        return known if known is None else str(known)
    if isinstance(known, str):
        text = known.strip()
        known = int(text) if _WHOLE.fullmatch(text) else None
    return known if known is not None and -(2**63) <= known < 2**63 else None
