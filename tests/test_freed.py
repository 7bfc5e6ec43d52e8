"""Freed memory stays with the process: what is used again is not mapped again."""

import platform
import subprocess
import sys

import pytest

# Six blocks of 8 MiB at once, written and freed, time and again: 12,288 pages.
FAULTS = """
import resource, torch
from mgrec.freed import keep_freed_memory
keep_freed_memory()
def use():
    return [torch.ones(1 << 21) for _ in range(6)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep otherwise")
def test_what_is_freed_is_not_mapped_again():
    assert int(subprocess.check_output([sys.executable, "-c", FAULTS])) < 12_288
