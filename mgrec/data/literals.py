"""One line, one record: JSON, or a Python dict literal as the files of 2014 have it. No code runs.

``ast.literal_eval`` evaluates nothing, but it first builds a syntax tree of whatever it is given,
and some sources exhaust the stack or the memory at that. So a line is looked at before: its
length, its brackets' depth, and that outside its strings nothing stands but a plain literal.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

MAX_DEPTH = 16  # the originals have 3: a dict of dicts of lists

# A string that does not end is taken up to where it breaks off: looking for a later beginning
# would make the time quadratic, and the parser refuses the line anyway.
_STRING = re.compile(r"""[uU]?(?:'(?:[^'\\]|\\.)*+'?|"(?:[^"\\]|\\.)*+"?)""")
# What is left once strings are one quotation mark each and blanks are gone. A number stands only
# where a value begins, so that no sums can be written; the quantifiers never step back.
_PLAIN = re.compile(
    r"""(?:[\]\[{}(),:"]|(?<![A-Za-z])(?:True|False|None)(?![A-Za-z])"""
    r"|(?<=[\[{(,:])[-+]?(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d++)?)*+"
)


def record(line: str) -> dict[str, Any]:
    """Return the record on a line.

    Raises
    ------
    ValueError
        If it is neither a JSON object nor a plain dict literal; the message says why.
    """
    try:
        value = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        value = literal(line)
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__}")
    return value


def literal(line: str) -> Any:
    """Return the value of a plain Python literal: strings, numbers, True, False, None, brackets.

    Raises
    ------
    ValueError
        If anything else stands there, or brackets are nested more than `MAX_DEPTH` deep.
    """
    bare = "".join(_STRING.sub('"', line).split())
    if _depth(bare) > MAX_DEPTH:
        raise ValueError(f"nested over {MAX_DEPTH} deep")
    if not _PLAIN.fullmatch(bare):
        raise ValueError("not a plain literal")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes that escape nothing: they stay
            return ast.literal_eval(line.strip())
    except SyntaxError as error:
        raise ValueError(error.msg) from None
    except (TypeError, RecursionError, MemoryError) as error:  # TypeError: a list as a key
        raise ValueError(str(error) or "too complex") from None


def depth(text: str) -> int:
    """Return the maximum depth of brackets outside strings."""
    return _depth(_STRING.sub('"', text))


def _depth(bare: str) -> int:
    """Return how deep the brackets are nested at most."""
    deepest = depth = 0
    for mark in re.finditer(r"[\]\[{}()]", bare):
        depth += 1 if mark[0] in "[{(" else -1
        deepest = max(deepest, depth)
    return deepest
