"""The Makefile with a Python that only writes down what it is asked: what is installed and when."""

import os
import re
import shutil
import subprocess
import time
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Makes "environments" whose programs write their arguments to a log beside the Makefile.
STAND_IN = """#!/bin/sh
case "$*" in
  -c*) exec python3 -c "import sys; sys.version_info = ({version}, 0, 'final', 0)
$2" ;;
  "-m venv "*)
    mkdir -p "$3/bin"
    for name in python ruff mypy mgrec; do
      echo '#!/bin/sh
echo "$(basename "$0") $*" >> log
[ "$*" = "-m pip list" ] && cat installed 2> /dev/null
exit 0' > "$3/bin/$name"
      chmod +x "$3/bin/$name"
    done
    echo "venv $3" >> log ;;
esac
"""


class Checkout:
    """A folder with the Makefile, what it depends on, and the stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder / name)
        self.python("3, 12")

    def python(self, version: str) -> None:
        (self.folder / "python").write_text(STAND_IN.replace("{version}", version))
        (self.folder / "python").chmod(0o755)

    def make(self, *targets: str) -> tuple[int, str, list[str]]:
        """Return the exit code, the error stream, and the log of this call."""
        (self.folder / "log").unlink(missing_ok=True)
        outside = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL"}}
        done = subprocess.run(
            ["make", "PYTHON=./python", "VENV=env", *targets],
            cwd=self.folder,
            env=outside,
            capture_output=True,
            text=True,
            check=False,
        )
        log = self.folder / "log"
        return done.returncode, done.stderr, log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    return Checkout(tmp_path)


def installs(log: list[str]) -> list[str]:
    return [line.split("constraints.txt ")[1] for line in log if "pip install" in line]


def test_demo_installs_once_torch_first_and_then_runs(checkout: Checkout) -> None:
    code, _, log = checkout.make("demo")
    assert code == 0
    assert log[0] == "venv env"
    assert installs(log) == ["torch==2.13.0", "-e .[offline,report,serve]"]
    assert log[-1] == "mgrec demo --out demo"
    assert checkout.make("demo")[2] == ["mgrec demo --out demo"]


def test_the_first_target_is_the_demo(checkout: Checkout) -> None:
    assert checkout.make()[2][-1] == "mgrec demo --out demo"


def test_test_runs_every_check_and_brings_what_the_demo_needs(checkout: Checkout) -> None:
    log = checkout.make("test")[2]
    assert installs(log) == ["torch==2.13.0", "-e .[dev]"]
    checks = ["ruff check .", "ruff format --check .", "mypy ", "python -m pytest"]
    assert log[-4:] == checks
    assert checkout.make("test")[2] == checks
    assert checkout.make("demo")[2] == ["mgrec demo --out demo"]


def test_test_after_demo_adds_the_tools(checkout: Checkout) -> None:
    checkout.make("demo")
    assert installs(checkout.make("test")[2]) == ["torch==2.13.0", "-e .[dev]"]


def test_bench_makes_two_environments_that_test_does_not_need(checkout: Checkout) -> None:
    log = checkout.make("bench", "BENCH=training --quick")[2]
    assert [line for line in log if line.startswith("venv")] == ["venv env", "venv env-rectools"]
    asked = [line.split("install -qq ")[1] for line in log if "pip install" in line]
    assert asked == [
        "-c constraints.txt torch==2.13.0",
        "-c constraints.txt -e .[bench]",
        "torch==2.13.0",
        "torch==2.13.0 rectools[torch]==0.19.0",
    ]
    assert log[-1] == "python -m benchmarks training --quick"
    assert checkout.make("bench")[2] == ["python -m benchmarks"]
    assert not any("bench" in line for line in checkout.make("test")[2])


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_what_is_wanted_installs_again(checkout: Checkout, changed: str) -> None:
    checkout.make("demo")
    later = time.time() + 10
    os.utime(checkout.folder / changed, (later, later))
    log = checkout.make("demo")[2]
    assert "venv env" not in log
    assert len(installs(log)) == 2


@pytest.mark.parametrize("version", ["3, 10", "3, 14"])
def test_another_python_is_refused_in_one_line(checkout: Checkout, version: str) -> None:
    checkout.python(version)
    code, errors, log = checkout.make("demo")
    assert code != 0
    assert log == []
    said = [line for line in errors.splitlines() if not line.startswith("make")]
    found = version.replace(", ", ".")
    assert said == [
        f"Python {found} found, 3.11 to 3.13 expected. Name another: make PYTHON=python3.12"
    ]


def test_torchvision_is_refused_and_looked_for_again_next_time(checkout: Checkout) -> None:
    (checkout.folder / "installed").write_text("torch        2.13.0\ntorchvision  0.28.0\n")
    for _ in range(2):
        code, _, log = checkout.make("demo")
        assert code != 0
        assert "mgrec demo --out demo" not in log


def test_the_constraints_pin_what_the_package_asks_for_and_no_torchvision() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    assert not pins.keys() & {"torchvision", "mgrec"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[\[<>=]", line)[0].lower() for line in asked}
    assert names - pins.keys() == {"mgrec"}
