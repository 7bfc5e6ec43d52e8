"""The SASRec benchmark with and without RecTools' environment."""

import numpy as np
import pytest

from benchmarks import sasrec
from mgrec.data.sequences import Sequences


def test_without_the_environment_one_line_names_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sasrec, "ENVIRONMENT", tmp_path / ".venv-rectools")
    figures = sasrec.run(True, None)
    said = capsys.readouterr().out.splitlines()
    assert said == [f"SASRec: no environment in .venv-rectools, expected one: {sasrec.MAKE}"]
    assert [f.theirs for f in figures] == [None, None]
    assert all(f.ours > 0 and "NDCG@10" in f.note for f in figures)


def test_less_seconds_are_the_better_ones():
    found, targets = np.array([[3, 4], [5, 6]]), np.array([3, 6], np.int32)
    figure = sasrec.compare("ours", 2.0, 0.5, (10.0, found), targets)
    assert figure.ratio == 5.0
    assert "RecTools' 0.8155" in figure.note


@pytest.mark.skipif(
    not sasrec.ENVIRONMENT.exists(), reason=f"no {sasrec.ENVIRONMENT.name}: {sasrec.MAKE}"
)
def test_rectools_hands_back_seconds_and_ten_items_a_user():
    log = Sequences.of([(np.arange(8) + user) % 50 for user in range(60)])
    seconds, found = sasrec.rectools(log, np.array([7, 3]), 2, 10)
    assert seconds > 0
    assert found.shape == (2, 10)
    assert ((found >= 0) & (found < 50)).all()
