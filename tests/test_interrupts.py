"""Ctrl-C: where Python loses it in a callback, the next step raises it."""

import subprocess
import sys

PROGRAM = """
import os, signal
from mgrec.interrupts import keep_interrupts, raise_if_interrupted

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

{keep}
Dying()
raise_if_interrupted()
print("went on")
"""


def run(keep):
    code = PROGRAM.format(keep=keep)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_ctrl_c_in_a_destructor_arrives_at_the_next_step():
    assert run("").stdout == "went on\n"  # as Python has it
    kept = run("keep_interrupts()")
    assert kept.stdout == ""
    assert "KeyboardInterrupt" in kept.stderr.splitlines()[-1]
