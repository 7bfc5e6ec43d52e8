"""The grammar of conditions: from text to a tree of tests on columns. Nothing in it is evaluated.

::

    either  := both ("or" both)*
    both    := factor ("and" factor)*
    factor  := "not" factor | "(" either ")" | test
    test    := column ("==" | "!=" | "<" | "<=" | ">" | ">=") value
             | value comparison column [comparison value]
             | column ["not"] "in" "[" value, ... "]"      | value ["not"] "in" column
             | column ["not"] "contains" value             | column "is" ["not"] "null"
             | column                                      (of yes and no)
    value   := "text" | 'text' | number | true | false
    column  := name | `any name`
"""

from __future__ import annotations

from dataclasses import dataclass

from mgrec.conditions.tokens import Token, refuse, tokens

DEEPEST = 32  # brackets and nots within each other
TESTS = 100  # in a condition; each is a pass over the catalogue
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class Value:
    """A literal, and the token that it was."""

    value: str | int | float | bool
    token: Token


@dataclass(frozen=True)
class Test:
    """A test of one column.

    Attributes
    ----------
    column : its token
    how : a comparison, "in", "contains", "null" or "true"
    values : what the column is compared with
    """

    column: Token
    how: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Not:
    """What holds where a part does not."""

    part: Condition


@dataclass(frozen=True)
class Join:
    """What holds where all parts hold, or any."""

    every: bool
    parts: tuple[Condition, ...]


Condition = Test | Not | Join


def parse(text: str) -> Condition:
    """Read a condition.

    Raises
    ------
    RequestError
        If it is none; the message points at the first character that does not fit.
    """
    parser = _Parser(tokens(text))
    found = parser.either()
    if parser.next.kind != "end":
        raise refuse(parser.next, "'and', 'or' or the end")
    return found


class _Parser:
    """One reading of a row of tokens."""

    def __init__(self, row: list[Token]) -> None:
        self.row, self.at, self.depth, self.tests = row, 0, 0, 0

    @property
    def next(self) -> Token:
        return self.row[self.at]

    def take(self) -> Token:
        """Go one token on; the end stays where it is."""
        token = self.next
        self.at += token.kind != "end"
        return token

    def has(self, *words: str) -> bool:
        """Take these keywords or signs if they stand next, and say whether they did."""
        row = self.row[self.at : self.at + len(words)]
        found = [token.value for token in row if token.kind in ("keyword", "sign")]
        if found != list(words):
            return False
        self.at += len(words)
        return True

    def either(self) -> Condition:
        parts = [self.both()]
        while self.has("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Join(False, tuple(parts))

    def both(self) -> Condition:
        parts = [self.factor()]
        while self.has("and"):
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else Join(True, tuple(parts))

    def factor(self) -> Condition:
        opened = self.next
        inverted, bracket = self.has("not"), self.has("(")
        if not inverted and not bracket:
            return self.test()
        self.depth += 1
        if self.depth > DEEPEST:
            raise refuse(opened, f"at most {DEEPEST} brackets and nots within each other")
        found = self.either() if bracket else self.factor()
        if bracket and not self.has(")"):
            raise refuse(self.next, f"')' for the bracket at character {opened.place}")
        self.depth -= 1
        return Not(found) if inverted else found

    def test(self) -> Condition:
        self.tests += 1
        if self.tests > TESTS:
            raise refuse(self.next, f"at most {TESTS} comparisons")
        if self.next.kind == "name":
            return self.of_column(self.take())
        return self.of_value(self.value())

    def of_column(self, column: Token) -> Condition:
        if self.next.kind == "sign" and self.next.value in FLIPPED:
            return Test(column, str(self.take().value), (self.value(),))
        if self.has("is"):
            inverted = self.has("not")
            if not self.has("null"):
                raise refuse(self.next, "'null' or 'not null'")
            return _unless(inverted, Test(column, "null"))
        inverted = self.has("not")
        if self.has("in"):
            return _unless(inverted, Test(column, "in", self.values()))
        if self.has("contains"):
            return _unless(inverted, Test(column, "contains", (self.value(),)))
        if inverted:
            raise refuse(self.next, "'in' or 'contains'")
        return Test(column, "true")

    def of_value(self, value: Value) -> Condition:
        inverted = self.has("not")
        if self.has("in"):
            return _unless(inverted, Test(self.column(), "contains", (value,)))
        if inverted:
            raise refuse(self.next, "'in'")
        sign = self.take()
        if sign.kind != "sign" or sign.value not in FLIPPED:
            raise refuse(sign, "a comparison, such as == or <")
        column = self.column()
        low = Test(column, FLIPPED[str(sign.value)], (value,))
        if self.next.kind == "sign" and self.next.value in FLIPPED:  # 5 < price <= 20
            return Join(True, (low, Test(column, str(self.take().value), (self.value(),))))
        return low

    def column(self) -> Token:
        token = self.take()
        if token.kind != "name":
            raise refuse(token, "a column")
        return token

    def value(self) -> Value:
        token = self.take()
        if token.kind in ("text", "number"):
            return Value(token.value, token)
        if token.kind == "keyword" and token.value in ("true", "false"):
            return Value(token.value == "true", token)
        raise refuse(token, _EXPECTED.get(token.kind, "a column or a value"))

    def values(self) -> tuple[Value, ...]:
        close = {"[": "]", "(": ")"}.get(str(self.next.value) if self.next.kind == "sign" else "")
        if close is None:
            raise refuse(self.next, 'a list, such as ["a", "b"]')
        self.take()
        found: list[Value] = []
        while not self.has(close):
            found.append(self.value())
            if not self.has(",") and not (self.next.kind == "sign" and self.next.value == close):
                raise refuse(self.next, f"',' or '{close}'")
        return tuple(found)


_EXPECTED = {
    "name": "a value; texts stand in quotes, and two columns are not compared",
    "keyword": "a column or a value; for what is missing write: is null",
}


def _unless(inverted: bool, test: Test) -> Condition:
    return Not(test) if inverted else test
