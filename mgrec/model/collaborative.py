"""A collaborative modality: what the log alone says of items, as embeddings."""

from __future__ import annotations

import numpy as np

from mgrec.configs import TrainingConfig
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.model.sasrec import fit_sasrec


def collaborative(train: Sequences, n_items: int, *, epochs: int, seed: int) -> Embeddings:
    """Return the item vectors of a SASRec trained on a log.

    It is given the train split and nothing else: no validation case chooses the epoch, so that
    no held-out item can leave a trace in what codes are made of. In float32 on one thread, so that
    a run that is resumed finds the same vectors again.

    Parameters
    ----------
    train : one row a user
    n_items : of the catalogue
    epochs : all of them are trained

    Returns
    -------
    Embeddings
        float32 [items, 128]; items that train never saw have none.
    """
    config = TrainingConfig(epochs=epochs, threads=1, precision="float32")
    model = fit_sasrec(train, None, n_items, config, seed).model
    present = np.bincount(train.items, minlength=n_items) > 0
    vectors = model.catalogue().numpy()
    return Embeddings(np.where(present[:, None], vectors, 0).astype(np.float32), present)
