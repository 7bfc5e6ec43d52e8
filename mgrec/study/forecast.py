"""A prediction of the time and memory of a fit: counts of its work, times measured seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mgrec.catalogue import FUSED, Catalogue, sources
from mgrec.choice import sampled, untimed
from mgrec.configs import ModelConfig, TrainingConfig, shown_in
from mgrec.data.dataset import Dataset
from mgrec.data.splits import Cases, Split, split
from mgrec.errors import MgrecError
from mgrec.fitting import aligns, fresh
from mgrec.measure.metrics import LISTED, with_intervals
from mgrec.model.alignment import Alignment
from mgrec.model.device import device_of
from mgrec.model.experts import Expert, Experts
from mgrec.model.generator import Generator
from mgrec.model.likeness import likeness
from mgrec.model.neighbours import Neighbours
from mgrec.model.next_item import NextItem
from mgrec.model.next_name import NextName
from mgrec.model.training import time_steps
from mgrec.model.transitions import transitions
from mgrec.model.views import NameView
from mgrec.progress import say
from mgrec.recipe import Recipe
from mgrec.search.ranking import plan, top
from mgrec.search.repeats import learn_repeat
from mgrec.search.weights import learn_weights
from mgrec.study import probe
from mgrec.study.baselines import ItemKNN, looked_at
from mgrec.teaching import LISTED as OF_TEACHERS
from mgrec.teaching import Teachers, teachers_of

LIKELY = 25  # epochs after which a run without a cooldown usually stops
COLLABORATIVE = 128  # width of the vectors that a SASRec learns
TIMED = 256  # histories of a timed ranking, at most
FITTED = 128  # cases of a timed fit of weights
PLACES = 512  # positions of the log for a timed run of the teachers
FIXED = 4.0  # seconds to start, to write the artifact and the page
MATRICES = 4  # in memory while the linear model is solved
TABLED = 1024  # items of a timed table
SCATTERED = 3  # fragmentation of a long training, in units of a step's memory
SLICED = 6  # approximate number of slices of the test cases


@dataclass(frozen=True)
class Stage:
    """One kind of work in a fit.

    Attributes
    ----------
    name, unit : such as "training", "steps"
    count : how many units the fit is likely to do
    most : how many it does if no training stops early
    seconds : of one unit
    """

    name: str
    unit: str
    count: int
    most: int
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What a fit will take on this machine.

    Attributes
    ----------
    stages : in their order
    epochs : (likely, most) of sequence training
    threads : of the CPU that it was measured with
    memory : bytes at the peak
    refused : why a fit is impossible, or None
    """

    stages: tuple[Stage, ...] = ()
    epochs: tuple[int, int] = (0, 0)
    threads: int = 1
    memory: int = 0
    refused: str | None = None

    @property
    def seconds(self) -> float:
        """The likely seconds of the fit."""
        return sum(stage.count * stage.seconds for stage in self.stages)

    @property
    def most(self) -> float:
        """The seconds of the fit if no training stops early."""
        return sum(stage.most * stage.seconds for stage in self.stages)

    def lines(self) -> list[str]:
        """Return the forecast as lines of text."""
        if self.refused is not None:
            return [f"this recipe cannot be fitted: {self.refused}"]
        likely, most = self.epochs
        total = f"about {words(self.seconds)}"
        if most > likely:
            total = (
                f"about {words(self.seconds)} if training stops after {likely} epochs,"
                f" at most {words(self.most)} for all {most}"
            )
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        lines = [f"{total}; {self.memory / 1e9:.1f} GB of memory (measured with {threads})"]
        for stage in self.stages:
            work = f"{stage.count:,} {stage.unit}, " if stage.unit else ""
            if (taken := stage.count * stage.seconds) >= 0.5:
                lines.append(f"{stage.name}: {work}{words(taken)}")
        return lines


def words(seconds: float) -> str:
    """Return a duration with a suitable unit."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def forecast(data: Dataset, recipe: Recipe, cache: Path | None = None) -> Forecast:
    """Measure a few steps and batches of a fit on this machine, and extrapolate by counts.

    The model has its real size and is untrained. It takes a few seconds, plus the time to load
    the encoders that are needed.

    Parameters
    ----------
    cache : folder of cached vectors, which are not encoded again; None is the user's folder
    """
    say("forecast: measuring a few steps of this fit on this machine")
    try:
        made = sources(data, recipe)
        parts = split(data, recipe.split)
        with torch.random.fork_rng(devices=[]):
            sample = sampled(parts.validation, recipe) if len(parts.validation) else None
            return _Fit(data, recipe, parts, cache, sample).forecast(made)
    except MgrecError as error:
        return Forecast(refused=str(error))


def planned_epochs(config: TrainingConfig, epochs: int, validated: bool) -> tuple[int, int]:
    """Return how many epochs a training is likely to take, and the most.

    With a cooldown, patience does not stop the training early.

    Parameters
    ----------
    epochs : the recipe's
    validated : whether there are validation cases to stop by
    """
    if not validated or config.cooldown:
        return epochs, epochs
    return min(epochs, max(LIKELY, (config.patience + 1) * config.evaluate_every)), epochs


def evaluations(config: TrainingConfig, epochs: int) -> int:
    """Return how often a training of so many epochs is evaluated; always after the last one."""
    return math.ceil(epochs / config.evaluate_every)


@dataclass
class _Fit:
    """The stages of one fit, measured one after the other.

    Attributes
    ----------
    sample : validation cases used for selection; None without validation cases
    widths : of the embeddings of every modality that has no ready-made codes
    extra : bytes that a fit needs beyond the probe
    epochs : (likely, most) of sequence training
    """

    data: Dataset
    recipe: Recipe
    parts: Split
    cache: Path | None
    sample: Cases | None
    widths: dict[str, int] = field(default_factory=dict)
    extra: int = 0
    epochs: tuple[int, int] = (0, 0)

    def forecast(self, made: dict[str, str]) -> Forecast:
        """Measure all stages; `made` says what each modality comes from."""
        stages = list(self._content(made))
        catalogue = probe.sketch(self.data, self.recipe, self.widths)
        model = fresh(catalogue, self.recipe).to(device_of(self.recipe.training.device))
        stages += self._quantising(catalogue)
        held = probe.peak_bytes()
        stages += self._training(model, catalogue)
        trained = probe.peak_bytes() - held
        model.cpu().eval()
        stages += self._measuring(model, catalogue)
        stages.append(Stage("start, saving and page", "", 1, 1, FIXED))
        parameters = sum(p.numel() for p in model.parameters())
        vectors = sum(found.vectors.nbytes for found in catalogue.vectors.values())
        # Batches differ in size, which fragments the memory.
        steps = sum(stage.count for stage in stages if stage.unit == "steps")
        scattered = trained * min(SCATTERED, steps / 50)
        memory = probe.peak_bytes() + int(scattered) + 20 * parameters + 2 * vectors
        return Forecast(
            tuple(stage for stage in stages if stage.most),
            self.epochs,
            self.recipe.training.threads or torch.get_num_threads(),
            memory + self.extra,
        )

    def _content(self, made: dict[str, str]) -> Iterator[Stage]:
        """Encoding, and learning a modality from the log."""
        config = self.recipe.content
        for modality, source in made.items():
            if source == "embeddings":
                self.widths[modality] = self.data.embeddings[modality].dim
            elif source == "sasrec":
                self.widths[modality] = COLLABORATIVE
                yield self._collaborative(modality)
            elif source == "encode":
                time_one = probe.time_texts if modality == "text" else probe.time_pictures
                encoding = time_one(self.data, config, self.cache)
                self.widths[modality] = encoding.dim
                unit = "texts" if modality == "text" else "pictures"
                n = encoding.contents
                yield Stage(f"loading the {modality} encoder", "", 1, 1, encoding.load)
                yield Stage(f"encoding {modality}", unit, n, n, encoding.seconds)

    def _collaborative(self, modality: str) -> Stage:
        """SASRec, as `mgrec.model.collaborative` trains it."""
        config = TrainingConfig(
            epochs=self.recipe.content.sasrec_epochs, threads=1, precision="float32"
        )
        sizes = ModelConfig(dropout=0.5)
        model = Expert(NameView(self.data.n_items, sizes.dim), sizes)
        each, seconds = time_steps(NextName(model, self.parts.train, config, 0), config)
        steps = each * config.epochs
        return Stage(f"learning {modality}", "steps", steps, steps, seconds)

    def _quantising(self, catalogue: Catalogue) -> Iterator[Stage]:
        config = self.recipe.quantiser
        for name, codes in catalogue.codes.items():
            n = int(codes.present.sum())
            if (name != FUSED and name not in self.widths) or not n:
                continue
            blocks = catalogue.vectors if name == FUSED else {name: catalogue.vectors[name]}
            dim = config.common or sum(vectors.dim for vectors in blocks.values())
            seconds = probe.time_quantising(config, name, n, dim)
            yield Stage(f"quantising {name}", "items", n, n, seconds / n)

    def _training(self, model: Generator, catalogue: Catalogue) -> Iterator[Stage]:
        """Alignment, experts, teachers, the generator, and what is weighed afterwards."""
        recipe, config = self.recipe, self.recipe.training
        auxiliary = None
        if aligns(recipe) and (task := Alignment(model, recipe.alignment, recipe.seed)).possible:
            each, seconds = time_steps(task, untimed(recipe))
            steps = each * recipe.alignment.epochs
            yield Stage("alignment", "steps", steps, steps, seconds)
            if recipe.alignment.auxiliary:
                auxiliary = (task, recipe.alignment.auxiliary)
        own = None if model.experts is None or model.experts.shared else model.experts
        if own is not None:
            yield from self._experts(own, catalogue, "expert")
        if config.teacher:
            teachers = teachers_of(model, catalogue, recipe)
            if teachers is not own:
                yield from self._experts(teachers, catalogue, "teacher")
            yield self._lists(teachers)
        each, seconds = time_steps(NextItem(model, self.parts.train, config, 0, auxiliary), config)
        likely, most = planned_epochs(config, config.epochs, self.sample is not None)
        room = math.inf  # epochs that fit into the recipe's minutes
        if config.minutes is not None and each:
            room = config.minutes * 60 / (each * seconds)
        likely_steps, most_steps = (round(each * min(n, room)) for n in (likely, most))
        self.epochs = (math.ceil(min(likely, room)), math.ceil(min(most, room)))
        yield Stage("training", "steps", likely_steps, most_steps, seconds)
        if self.sample is not None:
            beams = recipe.search.validation_beams
            seconds = self._ranking(model, self.sample, 10, beams)
            yield self._selection("ranking validation cases", config, self.epochs, seconds)
            yield from self._weighing(model, self.sample)

    def _experts(self, experts: Experts, catalogue: Catalogue, kind: str) -> Iterator[Stage]:
        """The experts or teachers that are trained, and those that are tables."""
        for name in experts.names:
            expert, label = experts[name], f"{kind} {name}"
            if isinstance(expert, Neighbours):
                yield self._table(expert, name, catalogue, label)
                continue
            config = untimed(self.recipe)
            negatives = self.recipe.model.experts.negatives
            task = NextName(expert, self.parts.train, config, 0, negatives=negatives, name=label)
            each, seconds = time_steps(task, config)
            validated = self.sample is not None
            epochs = planned_epochs(config, self.recipe.model.experts.epochs, validated)
            yield Stage(label, "steps", each * epochs[0], each * epochs[1], seconds)
            if self.sample is not None:
                some = probe.spread(self.sample.history, TIMED)
                seconds = probe.timed(partial(expert.top, some, 10)) / len(some)
                yield self._selection(f"ranking by {label}", config, epochs, seconds)

    def _selection(
        self, name: str, config: TrainingConfig, epochs: tuple[int, int], seconds: float
    ) -> Stage:
        """Rankings of the validation sample in a training; `seconds` is of one."""
        n = 0 if self.sample is None else len(self.sample)
        likely, most = (n * evaluations(config, count) for count in epochs)
        return Stage(name, "rankings", likely, most, seconds)

    def _table(self, expert: Neighbours, name: str, catalogue: Catalogue, label: str) -> Stage:
        """Make a table of a part of the items, and fill the expert with it."""
        config, log, n = self.recipe.model.experts.neighbours, self.parts.train, self.data.n_items
        modality = shown_in(name)
        taken = int((np.bincount(log.items, minlength=n) > 0).sum())
        items = min(config.items, n if modality else taken)
        some = min(items, TABLED)
        begun = time.monotonic()
        if modality is None:
            expert.fill(transitions(log, n, items=some, most=config.most, ridge=config.ridge))
            self.extra = max(self.extra, MATRICES * 4 * items**2)
        else:
            counts = np.bincount(log.items, minlength=n)
            vectors = catalogue.vectors[modality]
            expert.fill(likeness(vectors, counts, items=some, most=config.most))
        seconds = time.monotonic() - begun
        if modality is None:  # only solving, cubic in the items, is extrapolated
            more = probe.time_solving(items) - probe.time_solving(some)
            seconds += max(0.0, more)
        else:
            seconds *= items / max(some, 1)
        return Stage(f"{label}: table", "items", items, items, seconds / max(items, 1))

    def _lists(self, teachers: Experts) -> Stage:
        """The predictions of teachers at every position of the log."""
        log, share = self.parts.train, self.recipe.training.teacher
        places = len(log.items) - int((log.lengths > 0).sum())
        some = probe.spread(log, max(1, PLACES * len(log) // max(len(log.items), 1)))
        weight = torch.full((len(teachers.names),), 1 / len(teachers.names))
        asked = max(1, len(some.items) - int((some.lengths > 0).sum()))
        seconds = probe.timed(
            lambda: Teachers(teachers, weight).lists(some, self.recipe.model.history, share)
        )
        self.extra += 6 * OF_TEACHERS * len(log.items)
        return Stage("teachers' lists", "places", places, places, seconds / asked)

    def _weighing(self, model: Generator, sample: Cases) -> Iterator[Stage]:
        """Repeat scores and weights of experts, fitted on validation."""
        model.eval()
        if model.experts is None and not model.config.repeat:
            return
        some = probe.spread(sample.history, FITTED)
        # Targets that are always candidates, the more expensive case.
        targets = some.last(1).items
        seconds = 0.0
        if model.config.repeat:
            seconds += probe.timed(lambda: learn_repeat(model, some, targets))
        if model.experts is not None:
            beams = self.recipe.search.validation_beams
            seconds += probe.timed(lambda: learn_weights(model, some, targets, beams))
        yield Stage("weighing", "cases", len(sample), len(sample), seconds / len(some))

    def _measuring(self, model: Generator, catalogue: Catalogue) -> Iterator[Stage]:
        """Ranking the test cases, by the model and by the baselines of the page."""
        test = self.parts.test
        if not len(test):
            return
        seconds = self._ranking(model, test, LISTED, self.recipe.search.beams)
        yield Stage("ranking test cases", "rankings", len(test), len(test), seconds)
        some = probe.spread(test.history, TIMED)
        for name, modalities in looked_at(catalogue.vectors).items():
            ranker = ItemKNN.fit(*(catalogue.vectors[m] for m in modalities))
            seconds = probe.timed(partial(ranker.top, some, LISTED)) / len(some)
            yield Stage(f"item-kNN on {name}", "rankings", len(test), len(test), seconds)
        drawn = np.random.default_rng(0).integers(-1, LISTED, len(test))
        tables = (2 + len(looked_at(catalogue.vectors))) * SLICED
        seconds = probe.timed(lambda: with_intervals(drawn))
        yield Stage("intervals", "tables", tables, tables, seconds)

    def _ranking(self, model: Generator, cases: Cases, k: int, beams: int) -> float:
        """Return the seconds of one ranking."""
        config = self.recipe.search
        batch = plan(model, max(beams, k), config)
        some = probe.spread(cases.history, min(TIMED, 2 * batch.users * batch.cores))
        top(model, probe.spread(some, 1), k, beams, config)
        return probe.timed(lambda: top(model, some, k, beams, config)) / len(some)
