"""Run benchmarks: ``python -m benchmarks [names] [--quick] [--data DATA] [--out FOLDER]``.

Each runs in a process of its own, so that one's memory and threads do not touch the next one's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.figure import Figure, table
from benchmarks.machine import facts

# Modules of this folder with a function `run(quick, data) -> list[Figure]`, in reading order.
NAMES = ("decoding", "training", "sasrec", "quantisers", "index", "filters", "requests", "growth")
NAMES += ("serving",)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; all without any")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--data", type=Path, help="folder of the research data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    names = chosen.names or list(NAMES)
    for name in names:
        if name not in NAMES:
            parser.error(f"benchmark '{name}': unknown, expected of {', '.join(NAMES)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    if len(names) == 1:
        one(names[0], chosen)
        return
    failed = []
    for name in names:
        command = [sys.executable, "-m", "benchmarks", name, "--out", str(chosen.out)]
        command += ["--threads", str(chosen.threads)]
        command += ["--quick"] if chosen.quick else []
        command += ["--data", str(chosen.data)] if chosen.data else []
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    write(chosen.out, [name for name in names if name not in failed])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def one(name: str, chosen: argparse.Namespace) -> None:
    """Run one benchmark and keep its figures as JSON."""
    torch.set_num_threads(chosen.threads)
    figures: list[Figure] = import_module(f"benchmarks.{name}").run(chosen.quick, chosen.data)
    document = {"machine": facts(), "figures": [asdict(f) for f in figures]}
    (chosen.out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n## {name}\n\n{table(figures)}", flush=True)


def write(folder: Path, names: list[str]) -> None:
    """Gather the figures of a run into one page of Markdown, with what each ran on."""
    parts: list[str] = []
    machines: dict[str, list[str]] = {}
    for name in names:
        document = json.loads((folder / f"{name}.json").read_text())
        figures = [Figure(**f) for f in document["figures"]]
        parts.append(f"## {name}\n\n{table(figures)}")
        machine = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
        machines.setdefault(machine, []).append(name)
    ran = "\n".join(f"- {', '.join(names)}: {machine}" for machine, names in machines.items())
    (folder / "benchmarks.md").write_text(f"{ran}\n\n" + "\n".join(parts))
    print(f"written: {folder / 'benchmarks.md'}")


if __name__ == "__main__":
    main()
