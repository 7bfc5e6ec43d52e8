"""Fitting: from a dataset and a recipe to a trained recommender, stage by stage."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mgrec.catalogue import Catalogue
from mgrec.choice import best_epoch, sampled, scored, untimed
from mgrec.data.sequences import Sequences
from mgrec.data.splits import Cases, Split
from mgrec.ensemble import combine, fit_experts, refit_experts
from mgrec.measure.metrics import ranks_of
from mgrec.model.alignment import Alignment
from mgrec.model.checkpoint import Checkpoint, owner, remove
from mgrec.model.device import device_of
from mgrec.model.experts import Experts
from mgrec.model.generator import Generator
from mgrec.model.next_item import NextItem
from mgrec.model.training import Evaluate, train
from mgrec.progress import say
from mgrec.recipe import Recipe
from mgrec.search.ranking import top
from mgrec.tables import Tables
from mgrec.teaching import Teachers, teachers_of


@dataclass(frozen=True)
class Fitted:
    """A trained model, what there is to say about its training, and who taught it."""

    model: Generator
    facts: dict[str, Any]
    teachers: Teachers | None = None


@dataclass(frozen=True)
class Checkpoints:
    """Where the stages of one run are saved, and resumed from; nowhere without a folder.

    Attributes
    ----------
    folder : beside the artifact to be
    owner : tells this run from every other
    """

    folder: Path | None
    owner: str = ""

    @classmethod
    def beside(
        cls,
        artifact: Path | None,
        recipe: Recipe,
        fingerprint: str,
        catalogue: Catalogue,
        start: Generator | None,
    ) -> Checkpoints:
        """Return the checkpoints of a run that ends in an artifact.

        It is told from others by its codes too: an encoder's or a quantiser's next version may
        give the same recipe and data others, which no saved weights fit.
        """
        if artifact is None:
            return cls(None)
        codes = hashlib.sha256(np.ascontiguousarray(catalogue.ids.tokens).data).hexdigest()
        origin = "" if start is None else digest(start)
        folder = artifact.with_name(artifact.name + ".checkpoints")
        return cls(folder, owner(recipe, fingerprint, codes, origin))

    def of(self, stage: str) -> Checkpoint | None:
        """Return the checkpoint of a named stage."""
        return None if self.folder is None else Checkpoint(self.folder, self.owner, stage)

    def each(self, kind: str) -> Callable[[str], Checkpoint | None]:
        """Return what knows the checkpoint of each named stage of some kind."""
        return lambda name: self.of(f"{kind}-{name}")

    def remove(self) -> None:
        """Delete all of them, when the artifact is saved."""
        if self.folder is not None:
            remove(self.folder, self.owner)


def fit_model(
    catalogue: Catalogue,
    parts: Split,
    recipe: Recipe,
    checkpoints: Checkpoints,
    start: Generator | None = None,
) -> Fitted:
    """Align and train a model, and choose its best epoch on validation.

    Parameters
    ----------
    start : a trained model to continue from; its alignment is not done again
    """
    model, alignment, facts = _prepare(catalogue, recipe, checkpoints.of("alignment"), start)
    tables = _tables(catalogue, parts.train, recipe)
    sample = sampled(parts.validation, recipe) if len(parts.validation) else None

    def trained(experts: Experts, kind: str) -> dict[str, Any]:
        saves = checkpoints.each(kind)
        return fit_experts(experts, parts.train, sample, tables, recipe, saves)

    own = _own(model)  # before the model, as they may teach it
    if own is not None:
        facts["experts"] = trained(own, "expert")
    teachers = teacher = None
    if recipe.training.teacher:
        experts = teachers_of(model, catalogue, recipe)
        known = facts["experts"] if experts is own else trained(experts, "teacher")
        teachers = Teachers.weighed(experts, recipe, sample, known)
        saves = checkpoints.each("lists")
        teacher = teachers.lists(parts.train, recipe.model.history, recipe.training.teacher, saves)
        facts["teachers"] = {
            "weights": dict(zip(experts.names, teachers.weight.tolist(), strict=True)),
            "experts": {} if experts is own else known,
            "seconds": teacher.seconds,
        }
    done = train(
        NextItem(model, parts.train, recipe.training, recipe.seed, alignment, teacher),
        recipe.training,
        epochs=recipe.training.epochs,
        seed=recipe.seed + 1,  # other noise than the alignment's
        evaluate=None if sample is None else selection(model, sample, recipe),
        checkpoint=checkpoints.of("training"),
    )
    facts["training"] = {"seconds": done.seconds, "curve": done.curve, "epochs": best_epoch(done)}
    facts["tables"] = tables.facts
    model.cpu().eval()
    if sample is not None:
        facts |= combine(model, sample, recipe)
    elif model.experts is not None:
        model.experts.weight.fill_(1)  # nothing tells them apart
    return Fitted(model, facts, teachers)


def refit_model(
    catalogue: Catalogue,
    log: Sequences,
    recipe: Recipe,
    checkpoints: Checkpoints,
    start: Generator | None,
    chosen: Fitted,
) -> Fitted:
    """Train anew on the whole log, for as many epochs as validation chose, for serving."""
    epochs = chosen.facts["training"]["epochs"]
    say(f"final: training on everything for {epochs} epochs")
    model, alignment, facts = _prepare(catalogue, recipe, checkpoints.of("final-alignment"), start)
    tables = _tables(catalogue, log, recipe)

    def trained(experts: Experts, before: Experts, known: dict[str, Any], kind: str) -> None:
        saves = checkpoints.each(kind)
        refit_experts(experts, before, known, log, tables, recipe, saves)

    own, before = _own(model), chosen.model.experts
    if own is not None and before is not None:
        trained(own, before, chosen.facts["experts"], "final-expert")
    teacher = None
    if chosen.teachers is not None:
        experts = teachers_of(model, catalogue, recipe)
        if experts is not own:
            trained(experts, chosen.teachers.experts, chosen.teachers.facts, "final-teacher")
        teachers = replace(chosen.teachers, experts=experts)
        saves = checkpoints.each("final-lists")
        teacher = teachers.lists(log, recipe.model.history, recipe.training.teacher, saves)
    done = train(
        NextItem(model, log, recipe.training, recipe.seed, alignment, teacher),
        untimed(recipe),
        epochs=epochs,
        planned=recipe.training.epochs,
        seed=recipe.seed + 1,
        checkpoint=checkpoints.of("final-training"),
    )
    if model.experts is not None and before is not None:
        model.experts.weight.copy_(before.weight)
        model.experts.repeat.copy_(before.repeat)
    model.repeat.copy_(chosen.model.repeat)
    facts["tables"] = tables.facts
    facts["training"] = {"seconds": done.seconds, "curve": done.curve, "epochs": epochs}
    return Fitted(model.cpu().eval(), facts)


def _tables(catalogue: Catalogue, log: Sequences, recipe: Recipe) -> Tables:
    return Tables(log, catalogue.n_items, catalogue.vectors, recipe.model.experts.neighbours)


def _own(model: Generator) -> Experts | None:
    """Return a model's experts, where they read for themselves and are trained by themselves."""
    return None if model.experts is None or model.experts.shared else model.experts


def _prepare(
    catalogue: Catalogue, recipe: Recipe, checkpoint: Checkpoint | None, start: Generator | None
) -> tuple[Generator, tuple[Alignment, float] | None, dict[str, Any]]:
    """Return an aligned model, the alignment that stays on with its weight, and facts so far."""
    model = fresh(catalogue, recipe).to(device_of(recipe.training.device))
    facts: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    if start is not None:
        model.load_state_dict(start.state_dict())
    if not aligns(recipe):
        return model, None, facts
    alignment = Alignment(model, recipe.alignment, recipe.seed)
    if start is None and alignment.possible and recipe.alignment.epochs > 0:
        done = train(
            alignment,
            untimed(recipe),
            epochs=recipe.alignment.epochs,
            seed=recipe.seed,
            checkpoint=checkpoint,
        )
        facts["alignment"] = {"seconds": done.seconds, "curve": done.curve}
    keeps = alignment.possible and recipe.alignment.auxiliary > 0
    return model, (alignment, recipe.alignment.auxiliary) if keeps else None, facts


def fresh(catalogue: Catalogue, recipe: Recipe) -> Generator:
    """Return the untrained model that a recipe's fit begins with."""
    torch.manual_seed(recipe.seed)
    return Generator(recipe.model, catalogue.ids, catalogue.vectors)


def digest(model: Generator) -> str:
    """Tell one set of weights from another."""
    parts = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        parts.update(name.encode())
        parts.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return parts.hexdigest()


def aligns(recipe: Recipe) -> bool:
    """Whether a recipe asks for contrastive modality alignment, before or in training."""
    wanted = recipe.alignment.contrastive > 0 or recipe.alignment.generative > 0
    ever = recipe.alignment.epochs > 0 or recipe.alignment.auxiliary > 0
    return recipe.ids.fusion == "late++" and ever and wanted


def selection(model: Generator, sample: Cases, recipe: Recipe) -> Evaluate:
    """Return the function that scores a model as it is on a sample of validation."""

    def evaluate() -> dict[str, float]:
        begun = time.monotonic()
        found, _ = top(model, sample.history, 10, recipe.search.validation_beams, recipe.search)
        scores = scored(ranks_of(found, sample.targets))
        return scores | {"evaluation_seconds": time.monotonic() - begun}

    return evaluate
