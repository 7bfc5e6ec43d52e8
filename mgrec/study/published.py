"""Published figures for datasets that papers share, and how their protocols differ from ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mgrec.errors import RequestError, nearest
from mgrec.study.parts import Section, Sheet


@dataclass(frozen=True)
class Figure:
    """One published model.

    Attributes
    ----------
    model, arxiv : what it is and where the figures stand
    results : (NDCG@10, Recall@10) by dataset; leave-one-out, ranked against the whole catalogue
    differs : encoder, loss, history and the like, where they are not as here
    """

    model: str
    arxiv: str
    results: Mapping[str, tuple[float, float]]
    differs: str


FIGURES = (
    Figure(
        "TIGER",
        "2305.05065",
        {"beauty": (0.0384, 0.0648), "toys": (0.0432, 0.0712)},
        "text only, by Sentence-T5; RQ-VAE; sliding windows of at most 20 items, plain softmax;"
        " a further code tells items of one ID apart",
    ),
    Figure(
        "GRID, residual k-means",
        "2507.22224",
        {"beauty": (0.0347, 0.0639), "toys": (0.0308, 0.0577)},
        "text only, by a large language model's encoder; sliding windows, plain softmax",
    ),
    Figure(
        "SASRec, binary cross-entropy",
        "2305.05065",
        {"beauty": (0.0318, 0.0605), "toys": (0.0374, 0.0675)},
        "one sampled negative a target, as most papers run it; item ids only",
    ),
    Figure(
        "SASRec, sampled softmax",
        "2508.06450",
        {"beauty": (0.0531, 0.0921), "toys": (0.0580, 0.0970)},
        "softmax over sampled negatives, ours over the whole catalogue; item ids only",
    ),
    Figure(
        "EnsRec",
        "2512.17820",
        {"beauty": (0.0565, 0.0980), "toys": (0.0625, 0.1061)},
        "scores of item ids added to scores of text",
    ),
    Figure(
        "cross-encoder, 0.6B parameters",
        "2607.25346",
        {"beauty": (0.0473, 0.0957), "toys": (0.0682, 0.1223)},
        "a language model of 0.6 billion parameters scores history and candidate together; with"
        " seen items left out it has NDCG@10 .0616 on Beauty and .0722 on Toys",
    ),
)

DATASETS = tuple(FIGURES[0].results)


def check_dataset(dataset: str | None) -> None:
    """Refuse a dataset on which nothing is known to be published.

    Raises
    ------
    RequestError
        With those that are known.
    """
    if dataset is not None and dataset not in DATASETS:
        raise RequestError(
            f"--published {dataset}: expected {' or '.join(DATASETS)}."
            f"{nearest(dataset, list(DATASETS))}"
        )


def published(dataset: str, ours: Sequence[tuple[str, float, float, str]]) -> Section:
    """Return published figures for a dataset beside ours.

    Parameters
    ----------
    dataset : one of `DATASETS`
    ours : (row, NDCG@10, Recall@10, what it is made with)
    """
    rows = [(name, f"{gain:.4f}", f"{recall:.4f}", "here", how) for name, gain, recall, how in ours]
    rows += [
        (f.model, f"{gain:.4f}", f"{recall:.4f}", f"arXiv {f.arxiv}", f.differs)
        for f in FIGURES
        for gain, recall in (f.results[dataset],)
    ]
    return Section(
        title=f"Beside published figures on {dataset.capitalize()}",
        lead=(
            "Published figures were measured by their authors, with their own encoders, budgets and"
            " tuning. A difference between a line of theirs and one of ours is no test of anything."
        ),
        sheets=(
            Sheet(
                "",
                ("", "NDCG@10", "Recall@10", "where", "what it is made with"),
                tuple(rows),
                "Leave-one-out, ranked against the whole catalogue, nothing filtered, test. Whether"
                " theirs count an item or an ID that several items share is not always said.",
            ),
        ),
    )
