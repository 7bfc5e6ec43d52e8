"""RecTools' SASRec on a log in a folder: ``python benchmarks/rectools_sasrec.py FOLDER``.

It runs in an environment of its own, since RecTools wants an older numpy than mgrec, so nothing
of mgrec is imported. ``log.npz`` holds users and items, one row an interaction, the users asked
about, and the settings; ``out.npz`` gets seconds an epoch and each asked user's ten items.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer
from rectools.dataset import Dataset
from rectools.models import SASRecModel


class Clock(Callback):
    """Notes the seconds that each epoch takes."""

    def __init__(self) -> None:
        self.begun = 0.0
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, module: object) -> None:
        self.begun = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, module: object) -> None:
        self.seconds.append(time.perf_counter() - self.begun)


def main(folder: Path) -> None:
    given = np.load(folder / "log.npz")
    torch.set_num_threads(int(given["threads"]))
    torch.manual_seed(0)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=int(given["epochs"]),
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            callbacks=[Clock()],
        )

    model = SASRecModel(
        n_blocks=2,
        n_heads=2,
        n_factors=128,
        session_max_len=int(given["history"]),
        loss="softmax",
        get_trainer_func=trainer,
    )
    # Rows stand in the order in which they were taken, and the moments say so.
    frame = pd.DataFrame(
        {
            "user_id": given["users"],
            "item_id": given["items"],
            "weight": 1.0,
            "datetime": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(np.arange(len(given["users"])), unit="s"),
        }
    )
    dataset = Dataset.construct(frame)
    model.fit(dataset)
    # The trainer that ran is a copy of ours, and so is its clock.
    clock = next(c for c in model.fit_trainer.callbacks if isinstance(c, Clock))
    found = model.recommend(users=given["asked"], dataset=dataset, k=10, filter_viewed=False)
    place = {user: row for row, user in enumerate(given["asked"].tolist())}
    top = np.full((len(place), 10), -1, np.int64)
    top[found["user_id"].map(place), found["rank"] - 1] = found["item_id"]
    np.savez(folder / "out.npz", seconds=np.array(clock.seconds), top=top)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
