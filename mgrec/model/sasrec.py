"""SASRec: the baseline that hurts, a causal transformer over item ids with a full softmax."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from mgrec.configs import ModelConfig, TrainingConfig
from mgrec.data.sequences import Sequences
from mgrec.data.splits import Cases
from mgrec.measure.metrics import metric, ranks_of
from mgrec.model.checkpoint import Checkpoint
from mgrec.model.device import device_of, own_random_state
from mgrec.model.experts import Expert
from mgrec.model.next_name import NextName
from mgrec.model.training import Progress, train
from mgrec.model.views import NameView


@dataclass(frozen=True)
class Trained:
    """A trained SASRec, and the course of its training."""

    model: Expert
    progress: Progress


@own_random_state()
def fit_sasrec(
    log: Sequences,
    validation: Cases | None,
    n_items: int,
    config: TrainingConfig,
    seed: int,
    *,
    history: int = 50,
    dropout: float = 0.5,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train SASRec (arXiv 1808.09781), selected by NDCG@10 on the validation cases;
    without any, trained to the last epoch.

    It is an expert that knows items by their names, trained against the whole catalogue: what
    differs between it and the generative model is what they predict.

    Parameters
    ----------
    log : one row a user, to train on
    validation : all of these are evaluated on; None evaluates nothing
    n_items : of the catalogue
    config : its epochs, patience, batches, rates and device
    seed : of the weights, batches and dropout
    history : most items of a history that are read
    dropout : of the whole model
    checkpoint : where to resume from and to save to

    Returns
    -------
    Trained
        On the CPU, with its best weights.
    """
    torch.manual_seed(seed)
    sizes = ModelConfig(history=history, dropout=dropout)
    model = Expert(NameView(n_items, sizes.dim), sizes).to(device_of(config.device))

    def scored(cases: Cases) -> dict[str, float]:
        found = model.top(cases.history, 10)
        return {"NDCG@10": float(metric(ranks_of(found, cases.targets), "NDCG@10").mean())}

    task = NextName(model, log, config, seed, name="SASRec")
    progress = train(
        task,
        config,
        epochs=config.epochs,
        seed=seed,
        evaluate=partial(scored, validation) if validation else None,
        checkpoint=checkpoint,
    )
    return Trained(model.cpu().eval(), progress)
