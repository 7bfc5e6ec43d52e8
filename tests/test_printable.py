"""Text from data on a terminal and on pages: it moves no cursor and turns no line around."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgrec.cli.options import printed
from mgrec.explain.explanation import Explanation, Modality, Past
from mgrec.printable import inline, printable
from mgrec.progress import say

NASTY = {
    "colour": "\x1b[31mred",
    "window title": "\x1b]0;owned\x07",
    "C1": "\x9b31m",
    "cursor": "a\rb\x08\x0b\x0c",
    "delete": "\x7f",
    "null": "\0",
    "override": "ab\u202egpj.exe",
    "embedding": "\u202a\u202b\u202c\u202d",
    "isolates": "\u2066\u2067\u2068\u2069",
    "separators": "a\u2028b\u2029c",
    "surrogate": "\udcff",
}
UNSAFE = {"Cc", "Cs", "Zl", "Zp"}
DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def safe(text: str) -> bool:
    text = text.replace("\n", "").replace("\t", "")
    return not (UNSAFE & {unicodedata.category(c) for c in text}) and not (DIRECTIONS & set(text))


@given(st.text() | st.sampled_from(sorted(NASTY.values())))
def test_whatever_is_printed_is_safe(text):
    assert safe(printable(text))
    assert "\n" not in inline(text)
    assert "\t" not in inline(text)


@pytest.mark.parametrize(
    "text", ["plain", "é ü ß", "שלום", "こんにちは", "👩‍👩‍👧 family", "a\u200db", "x\u00a0y"]
)
def test_ordinary_text_is_left_alone(text):
    assert printable(text) == inline(text) == text


def test_escapes_say_what_was_there():
    assert printable("\x1b[1m\x9b\u202e") == "\\x1b[1m\\x9b\\u202e"
    assert inline("a\nb") == "a\\nb"
    assert inline(7) == "7"


@pytest.mark.parametrize("kind", NASTY)
def test_output_and_messages_are_safe(kind, capsys):
    printed(f"1  {NASTY[kind]}", as_json=False)
    printed({"title": NASTY[kind]}, as_json=True)
    say(f"error: {NASTY[kind]}")
    out, err = capsys.readouterr()
    assert safe(out)
    assert safe(err)
    assert len(out.splitlines()) == 4


@pytest.mark.parametrize("kind", NASTY)
def test_an_explanation_stands_in_its_own_order(kind):
    name = NASTY[kind]
    past = (Past(name, name, 0.5, 0.5), Past("i1", name, -0.5, -0.5))
    why = Explanation(name, name, "a reason", -1.0, -2.0, -1.0, past, (Modality("text", 1.0),))
    assert all(safe(sentence) and "\n" not in sentence for sentence in why.words())


INTERRUPT = """
import os, signal, sys
import mgrec  # so that the places count the imports of the command line only

class Finder:
    left = int(sys.argv.pop(1))

    @classmethod
    def find_spec(cls, *_):
        cls.left -= 1
        if cls.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder)
from mgrec.cli import main
main()
"""


@pytest.mark.parametrize(
    "place", [3, 5, 40, 200, *(pytest.param(n, marks=pytest.mark.slow) for n in (500, 900, 1300))]
)
def test_an_interrupt_during_imports_ends_in_one_line(place, tmp_path):
    command = [sys.executable, "-c", INTERRUPT, str(place), "recommend", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    found = subprocess.run(
        [*command, "--user", "a"], capture_output=True, text=True, env=environment, check=False
    )
    assert found.returncode == 130, found.stderr
    assert found.stderr.startswith("interrupted; ")
    assert len(found.stderr.splitlines()) == 1
