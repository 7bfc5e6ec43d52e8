"""The comparison: every strategy and baseline on one split, with one budget, resumable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mgrec.catalogue import sources
from mgrec.data.dataset import Dataset
from mgrec.errors import DataError, RecipeError, RequestError
from mgrec.model.device import device_of
from mgrec.progress import bar, say
from mgrec.recipe import Recipe
from mgrec.study import ledger as ledgers
from mgrec.study.card import card
from mgrec.study.claims import Judged, judge
from mgrec.study.comparison import Comparison, standing
from mgrec.study.described import baseline_made_with, made_with, of_baseline, of_entry
from mgrec.study.grid import REFERENCE, Entry, entries, inapplicable, reference
from mgrec.study.ground import Ground
from mgrec.study.ledger import Ledger
from mgrec.study.members import Member
from mgrec.study.outcomes import Outcome
from mgrec.study.parts import Section
from mgrec.study.place import COMPARISON, own_folder
from mgrec.study.published import check_dataset
from mgrec.study.publishing import publish
from mgrec.study.runs import (
    BASELINES,
    Run,
    carry_out,
    done,
    model_runs,
    sasrec_runs,
    simple_runs,
    spread,
)
from mgrec.study.studies import bases, roles, rows
from mgrec.study.tuning import Tuning

STRATEGIES = ("text", "image", "early", "late", "late++")


def compare(
    data: Dataset,
    out: Path | str,
    recipes: Sequence[str] = STRATEGIES,
    *,
    seeds: int = 3,
    settings: Iterable[str] = (),
    sweeps: Sequence[str] = (),
    studies: Sequence[str] = (),
    baselines: Sequence[str] = BASELINES,
    against: str | None = None,
    exclude_seen: bool = False,
    dataset: str | None = None,
    more: Iterable[Section] = (),
) -> Comparison:
    """Train and measure what was not done yet, and write the report after every run.

    The same call resumes an interrupted grid; a call with more recipes, sweeps or seeds extends it.
    The folder gets ``report.html``, ``report.md``, ``report.json``, ``grid.json`` and ``runs/``.

    Parameters
    ----------
    recipes, sweeps, seeds, settings : see `mgrec.study.grid.entries`
    studies : the paper's tables and figures by name, see `mgrec.study.studies.rows`
    baselines : out of ``popularity``, ``item-knn``, ``linear``, ``sasrec``
    against : the row that the others are tested against; None is ``late++`` or what comes nearest
    exclude_seen : whether there is a second table with seen items left out
    dataset : ``beauty`` or ``toys``, for published figures beside ours
    more : further sections of the report, such as diagnostics

    Raises
    ------
    RequestError, RecipeError, DataError, ArtifactError
        If the request, the data or the folder does not fit.
    """
    out, settings = Path(out), tuple(settings)
    more_rows = tuple(rows(studies, seeds=seeds, settings=settings))
    asked = entries(
        recipes, sweeps, seeds=seeds, settings=settings, base=against, data=data, more=more_rows
    )
    for name in baselines:
        if name not in BASELINES:
            raise RequestError(f"baseline '{name}': expected one of {', '.join(BASELINES)}")
    check_dataset(dataset)
    for entry in asked:  # what is not here is not what does not apply
        device_of(entry.recipe.training.device)
    grid = Ledger(data.fingerprint, settings, asked, tuple(baselines))
    with own_folder(out, COMPARISON):
        before = ledgers.read(out)
        grid = grid if before is None else before.joined(grid, out)
        study = _study(data, out, grid, against, exclude_seen, dataset)
        grid.save(out)
        return study.run(out, tuple(more))


@dataclass
class _Study:
    """A grid under way: its runs, and what they came to so far."""

    ground: Ground
    place: Path
    grid: Ledger
    runs: list[Run]
    absent: dict[str, str]
    reference: str
    protocols: tuple[bool, ...]
    dataset: str | None
    common: Recipe  # the overrides alone: the baselines' budget, encoders, length of history
    outcomes: dict[str, dict[int | None, Outcome]] = field(default_factory=dict)

    def run(self, out: Path, more: Sequence[Section]) -> Comparison:
        """Do what is not done yet, and write the report after every run."""
        with bar("compare", len(self.runs), "runs") as shown:
            for number, run in enumerate(self.runs, 1):
                shown.note(str(run))
                if self.collect(run):
                    say(f"{run}: done ({number} of {len(self.runs)})")
                    publish(self.comparison(), out, more)
                shown.advance()
        found = self.comparison()
        publish(found, out, more)
        return found

    def collect(self, run: Run) -> bool:
        """Take a run's outcome, from its folder or by doing it; True if there was work to do."""
        if run.row in self.absent:
            return False
        found = done(run, self.place, self.ground, self.protocols)
        new = found is None
        if found is None:
            try:
                found = carry_out(run, self.place, self.ground, self.protocols)
            except (RecipeError, DataError) as error:
                if self.outcomes.get(run.row):  # it does apply: another seed's run is there
                    raise
                say(f"{run}: does not apply: {error}")
                self.absent[run.row] = str(error)
                return False
        self.outcomes.setdefault(run.row, {})[run.seed] = found
        return new

    def comparison(self) -> Comparison:
        """Return what is known by now."""
        members, ground, masks = self._members(), self.ground, self.ground.slices
        waiting = [run for run in self.runs if self._waits(run)]
        return Comparison(
            reference=self.reference,
            standings=tuple(
                standing(members, self.reference, masks, seen_out, ground.protocol(seen_out))
                for seen_out in self.protocols
            ),
            cases={name: int(mask.sum()) for name, mask in ground.slices.items()},
            absent=self.absent,
            waiting=tuple(map(str, waiting)),
            facts=_facts(ground),
            card=self._card(),
            dataset=self.dataset,
            claims=tuple(self._judged(members)),
        )

    def _judged(self, members: Sequence[Member]) -> Iterable[Judged]:
        """Judge the paper's claims of every strategy that there are rows for."""
        known = {member.name: member for member in members}
        for base in bases(self.grid.entries):
            there, lacking = {}, {}
            for variant, entry in roles(self.grid.entries, base).items():
                if known[entry.name].outcomes:
                    there[variant] = known[entry.name]
                else:
                    lacking[variant] = self.absent.get(entry.name, "not done yet")
            yield judge(base.name, there, self.ground.slices.get("tail"), lacking)

    def _waits(self, run: Run) -> bool:
        return run.row not in self.absent and run.seed not in self.outcomes.get(run.row, {})

    def _members(self) -> list[Member]:
        """Return the rows in the order of the table: models as asked for, then baselines."""
        known = {entry.name: entry for entry in self.grid.entries}
        names = dict.fromkeys([*known, *(run.row for run in self.runs)])
        wanted = {name: sum(run.row == name for run in self.runs) for name in names}
        return [
            Member(
                name,
                "model" if name in known else "baseline",
                of_entry(known[name]) if name in known else of_baseline(name),
                self._made(name, known.get(name)),
                self.outcomes.get(name, {}),
                wanted[name],
                known[name].point if name in known else None,
                name not in known or known[name].headline,
            )
            for name in names
        ]

    def _made(self, name: str, entry: Entry | None) -> str:
        if entry is None:
            return baseline_made_with(name, self.common)
        return made_with(entry.recipe, _content([entry], self.ground.data))

    def _card(self) -> dict[str, str]:
        entries = [entry for entry in self.grid.entries if entry.name not in self.absent]
        found = card(
            recipes="; ".join(entry.name for entry in entries),
            seeds="; ".join(_seeds(entry) for entry in entries),
            fingerprint=self.ground.data.fingerprint,
            protocol=self.ground.protocol(False),
            more={
                "settings of all rows": " ".join(self.grid.settings) or "none",
                "content": _content(entries, self.ground.data),
                "history": _histories(entries),
                "trained on": ", ".join({e.recipe.training.device: None for e in entries}),
            },
        )
        made = {name: {o.card.get(name, "") for o in self._all()} for name in found}
        others = {name: values - {found[name], ""} for name, values in made.items()}
        mixed = [f"{name} {', '.join(sorted(values))}" for name, values in others.items() if values]
        return found | ({"some runs were made with": "; ".join(mixed)} if mixed else {})

    def _all(self) -> Iterable[Outcome]:
        return (outcome for row in self.outcomes.values() for outcome in row.values())


def _study(
    data: Dataset,
    out: Path,
    grid: Ledger,
    against: str | None,
    exclude_seen: bool,
    dataset: str | None,
) -> _Study:
    """Lay out all runs of a grid, and say at once what does not apply."""
    ground = Ground.of(data, grid.entries[0].recipe.split)
    why = {entry.name: inapplicable(entry, data) for entry in grid.entries}
    absent = {name: reason for name, reason in why.items() if reason is not None}
    there = [entry for entry in grid.entries if entry.name not in absent]
    common = Recipe.named(REFERENCE).override(grid.settings)
    simple, lacking = simple_runs(grid.baselines, common, ground)
    runs = [run for entry in there for run in model_runs(entry, ground)]
    if "sasrec" in grid.baselines:
        seeds = max((entry.seeds for entry in grid.entries), key=len)
        runs += sasrec_runs(Tuning(out / "runs" / "SASRec-trials", ground, common), seeds)
    absent |= lacking
    for name, reason in absent.items():
        say(f"{name}: does not apply: {reason}")
    protocols = (False, True) if exclude_seen else (False,)
    named = reference(there, against)
    all_runs, place = simple + spread(runs), out / "runs"
    return _Study(ground, place, grid, all_runs, absent, named, protocols, dataset, common)


def _facts(ground: Ground) -> dict[str, str | int | float]:
    data = ground.data
    return {
        "items": data.n_items,
        "users": data.n_users,
        "interactions": len(data.log.items),
        "median history": int(np.median(data.log.lengths)),
        "test cases": len(ground.parts.test),
        **{f"items with {m}": int(data.present(m).sum()) for m in data.modalities},
    }


def _seeds(entry: Entry) -> str:
    return f"{entry.name} {', '.join(map(str, entry.seeds))}"


def _content(entries: Sequence[Entry], data: Dataset) -> str:
    """Say what text and pictures were turned into codes by."""
    found: dict[str, None] = {}
    for entry in entries:
        if inapplicable(entry, data) is not None:
            continue
        for modality, source in sources(data, entry.recipe).items():
            encoder = getattr(entry.recipe.content, f"{modality}_encoder", "")
            ways = {"encode": f"encoded ({encoder})", "sasrec": "a SASRec's, from train"}
            found[f"{modality}: {ways.get(source, f'ready-made {source}')}"] = None
    return "; ".join(found)


def _histories(entries: Sequence[Entry]) -> str:
    found = {entry.name: entry.recipe.model.history for entry in entries}
    if len(set(found.values())) == 1:
        return f"at most {next(iter(found.values()))} items"
    return "; ".join(f"{name} at most {items} items" for name, items in found.items())
