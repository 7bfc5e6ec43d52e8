"""SASRec tuned on validation: a small grid, one JSON a trial, so that none is run twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from mgrec.errors import ArtifactError, in_one_line
from mgrec.folders import new_file
from mgrec.model.checkpoint import Checkpoint, owner
from mgrec.model.sasrec import Trained, fit_sasrec
from mgrec.model.training import SELECT
from mgrec.progress import say
from mgrec.recipe import Recipe
from mgrec.study.ground import Ground
from mgrec.study.outcomes import check_same

DROPOUTS, RATES = (0.2, 0.4, 0.6), (1e-3, 2e-3)


@dataclass(frozen=True)
class Trial:
    """One point of the grid, and what it scored on validation once it was trained."""

    dropout: float
    rate: float
    score: float | None = None

    @property
    def name(self) -> str:
        return f"dropout-{self.dropout:g}-rate-{self.rate:g}"

    def __str__(self) -> str:
        return f"dropout {self.dropout:g}, learning rate {self.rate:g}"


TRIALS = tuple(Trial(dropout, rate) for dropout, rate in product(DROPOUTS, RATES))


@dataclass(frozen=True)
class Tuning:
    """SASRec's trials, under a folder.

    Attributes
    ----------
    folder : of the trials' files and of unfinished trainings
    recipe : whose training budget and length of history SASRec has too
    """

    folder: Path
    ground: Ground
    recipe: Recipe

    def settings(self, seed: int) -> dict[str, Any]:
        """Return everything that decides a training, as JSON."""
        return {
            "baseline": "SASRec",
            "training": self.recipe.training.model_dump(mode="json"),
            "history": self.recipe.model.history,
            "split": self.ground.config.model_dump(mode="json"),
            "data": self.ground.data.fingerprint,
            "dropouts": list(DROPOUTS),
            "rates": list(RATES),
            "seed": seed,
        }

    def trials(self) -> Iterator[Trial]:
        """Train what was not trained before, trial by trial.

        Raises
        ------
        RequestError
            If a trial's file is of another budget or other data.
        ArtifactError
            If it cannot be read.
        """
        for trial in TRIALS:
            file = self.folder / f"{trial.name}.json"
            if not file.is_file():
                say(f"SASRec: {trial}")
                found = self.train(trial, 0)
                kept = {"identity": self.settings(0), SELECT: found.progress.best}
                with new_file(file) as draft:
                    draft.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
            try:
                known = json.loads(file.read_bytes())
                identity, score = known["identity"], float(known[SELECT])
            except (ValueError, KeyError, TypeError) as error:
                why = in_one_line(error)
                raise ArtifactError(f"{file}: corrupt ({why}): delete it") from None
            check_same(file, identity, self.settings(0))
            yield Trial(trial.dropout, trial.rate, score)

    def best(self) -> Trial:
        """Return the trial that scores highest on validation, the first of equals; where there is
        nothing to choose by, the first, and no other is trained."""
        if not len(self.ground.parts.validation):
            return TRIALS[0]
        return max(self.trials(), key=lambda trial: trial.score or 0.0)

    @property
    def chosen_by(self) -> str:
        """How the best trial is chosen, and what tuning may cost, in words."""
        each = f"{self.recipe.training.epochs} epochs"
        if self.recipe.training.minutes is not None:
            each += f" and {self.recipe.training.minutes:g} minutes"
        if not len(self.ground.parts.validation):
            return f"not chosen, as there is no validation case; {each} at most"
        return f"chosen by {SELECT} on validation among {len(TRIALS)} trials of at most {each} each"

    def train(self, trial: Trial, seed: int) -> Trained:
        """Train, or resume; a training that had ended is only loaded."""
        ground, n_items = self.ground, self.ground.data.n_items
        config = self.recipe.training.model_copy(update={"learning_rate": trial.rate})
        whose = owner(self.recipe, ground.data.fingerprint, trial.name, str(seed))
        return fit_sasrec(
            ground.parts.train,
            ground.parts.validation,
            n_items,
            config,
            seed,
            history=self.recipe.model.history,
            dropout=trial.dropout,
            checkpoint=Checkpoint(self.folder / f"{trial.name}-{seed}", whose),
        )
