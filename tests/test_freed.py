"""Freed memory stays with the process: what is used again is not mapped again."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Six blocks of 8 MiB at once, written and freed, time and again: 12,288 pages.
FAULTS = """
import resource, torch
from mgrec.configs import SearchConfig
from mgrec.data.sequences import Sequences
from mgrec.search.ranking import top
from tests.planted import tiny_generator
top(tiny_generator(items=40), Sequences.of([[1, 2]]), 3, 5, SearchConfig())
def use():
    return [torch.ones(1 << 21) for _ in range(6)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep otherwise")
def test_what_is_freed_after_a_ranking_is_not_mapped_again():
    root = Path(__file__).parents[1]
    assert int(subprocess.check_output([sys.executable, "-c", FAULTS], cwd=root)) < 12_288
