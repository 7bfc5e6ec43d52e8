"""What the scores of trained artifacts are worth: calibration, mass on real items, bfloat16's loss.

``python -m benchmarks.scores RUN [RUN ...] [--users 300]``
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec import Recommender
from mgrec.configs import SearchConfig
from mgrec.data.splits import Cases
from mgrec.measure.metrics import metric, ranks_of
from mgrec.search.exact import score_catalogue
from mgrec.search.ranking import top

BINS = 10


def calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over bins of equally many cases (arXiv 1706.04599)."""
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, BINS)
    gaps = [len(p) * abs(confidence[p].mean() - right[p].mean()) for p in parts if len(p)]
    return float(sum(gaps) / len(confidence))


def mass(made: Recommender, cases: Cases, users: int) -> float:
    """Return the mean probability that all items have together, exactly, for some users."""
    rows = np.random.default_rng(0).permutation(len(cases))[:users]
    history = cases.history.select(rows).last(made.recipe.model.history)
    sums = []
    for row in history:
        context = made.model.context(torch.from_numpy(row[None].astype(np.int64)))
        sums.append(float(score_catalogue(made.model, context).double().exp().sum()))
    return float(np.mean(sums))


def row_of(path: Path, users: int) -> str:
    """Return an artifact's row of the table."""
    made = Recommender.load(path)
    cases = made.split().test
    beams = made.recipe.search.beams
    cells = [path.name]
    ndcg = {}
    for precision in ("float32", "bfloat16"):
        config = SearchConfig(beams=beams, precision=precision)
        begun = time.process_time()
        items, scores = top(made.model, cases.history, 20, beams, config)
        rate = len(cases) / (time.process_time() - begun)
        ranks = ranks_of(items, cases.targets)
        ndcg[precision] = float(metric(ranks, "NDCG@10").mean())
        recall = float(metric(ranks, "Recall@10").mean())
        cells += [f"{recall:.4f}", f"{ndcg[precision]:.4f}", f"{rate:,.0f}"]
        if precision == "float32":
            error = calibration(np.exp(scores[:, 0].astype(np.float64)), ranks == 0)
    loss = 1 - ndcg["bfloat16"] / ndcg["float32"]
    cells += [f"{loss:+.2%}", f"{error:.4f}", f"{mass(made, cases, users):.4f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--users", type=int, default=100, help="whose catalogue is scored exactly")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| | R@10 | N@10 | users/CPU-s | R@10 bf16 | N@10 bf16 | users/CPU-s | N@10 lost | "
        "calibration error of the first | mass on items |"
    )
    print("|---" * 10 + "|")
    for path in chosen.runs:
        print(row_of(path, chosen.users), flush=True)


if __name__ == "__main__":
    main()
