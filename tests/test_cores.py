"""Parts worked on side by side come back in order, and leave PyTorch's threads as they were."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch

from mgrec.configs import SearchConfig
from mgrec.cores import on_cores
from mgrec.search.ranking import plan, top
from tests.planted import tiny_generator, walks


@contextmanager
def threads(wanted: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("wanted", [1, 2, 3])
@pytest.mark.parametrize("most", [None, 1, 2])
def test_answers_stand_in_the_order_of_the_parts(wanted, most):
    with threads(wanted):
        inside = on_cores(lambda part: (part * part, torch.get_num_threads()), range(20), most)
        assert [square for square, _ in inside] == [part * part for part in range(20)]
        assert torch.get_num_threads() == wanted
        if wanted > 1 and most != 1:
            assert {seen for _, seen in inside} == {1}


def test_an_error_is_raised_and_threads_stay_as_they_were():
    with threads(2):
        with pytest.raises(ZeroDivisionError):
            on_cores(lambda part: 1 // part, [3, 2, 1, 0])
        assert torch.get_num_threads() == 2


def test_threads_stay_for_the_next_call():
    known = threading.local()

    def was_here(_: int) -> bool:
        time.sleep(0.01)  # so that no thread takes everything
        before = hasattr(known, "here")
        known.here = True
        return before

    with threads(2):
        first, second = (on_cores(was_here, range(8)) for _ in range(2))
    assert first.count(False) == 2
    assert all(second)


def test_after_an_error_nothing_is_begun_any_more():
    done = []

    def task(part: int) -> None:
        if part == 0:
            raise ZeroDivisionError
        time.sleep(0.01)
        done.append(part)

    with threads(2), pytest.raises(ZeroDivisionError):
        on_cores(task, range(50))
    after = len(done)
    time.sleep(0.05)
    assert len(done) == after < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own():
    code = (
        "import os, torch; from mgrec.cores import on_cores; torch.set_num_threads(2);"
        "on_cores(abs, [-1, -2]); child = os.fork();"
        "child or os._exit(on_cores(abs, [-1, -2]) != [1, 2]);"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_many_may_rank_with_one_model_at_once():
    model, histories = tiny_generator(experts={"views": ["id", "text"]}), walks(200, users=8)
    model.experts.weight.fill_(1.0)  # else nobody asks them
    wanted = top(model, histories, 5, 20, SearchConfig())[0]
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(top, model, histories, 5, 20, SearchConfig()) for _ in range(40)]
        assert all((one.result()[0] == wanted).all() for one in asked)


def test_ranking_does_not_depend_on_the_cores():
    model, histories = tiny_generator(experts={"views": ["id", "text"]}), walks(200, users=30)
    model.experts.weight.fill_(1.0)
    config = SearchConfig(memory=16)
    found = []
    for wanted in (1, 2):
        with threads(wanted):
            planned = plan(model, 200, config)
            assert planned.cores == wanted
            assert planned.memory <= 16 << 20
            found.append(top(model, histories, 10, 200, config))
    assert (found[0][0] == found[1][0]).all()
    assert abs(found[0][1] - found[1][1]).max() < 1e-5
