"""docs/requests.md: its examples run as they are written."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from mgrec import cli

PAGE = (Path(__file__).parents[1] / "docs" / "requests.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.fixture
def place(store, tmp_path, monkeypatch):
    store.save(tmp_path / "runs" / "shop")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_runs_from_top_to_bottom(place, capsys):
    names = {}
    for block in blocks("python"):
        exec(compile(block, "docs/requests.md", "exec"), names)
    assert len(names["answer"]) == 5
    assert [len(names["first"]), len(names["second"])] == [10, 3]
    assert names["answer"].exact
    assert (place / "why.svg").read_text().startswith("<svg")
    assert len(names["near"]) == 3
    assert "history moved it" in capsys.readouterr().out


def test_the_commands_run(place, monkeypatch):
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, line


def test_every_condition_of_the_table_is_one_of_the_language(store):
    from mgrec.conditions.grammar import parse

    table = PAGE.split("## Conditions")[1].split("Any column")[0]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    found = [code for cell in firsts for code in re.findall(r"``(.+?)``|`([^`]+)`", cell)]
    conditions = [a or b for a, b in found if " " in (a or b) and (a or b) not in FRAGMENTS]
    assert len(conditions) > 10
    for condition in conditions:
        parse(condition.strip())


FRAGMENTS = ("not in", "is not null")
