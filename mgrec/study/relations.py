"""How runs relate: fused codes to each modality's own, a row's predictions to another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mgrec.catalogue import FUSED
from mgrec.data.features import Codes
from mgrec.measure.information import adjusted_mutual_information
from mgrec.measure.intervals import Paired
from mgrec.measure.noise import Scores, from_zero
from mgrec.study.dominance import Dominance, dominance
from mgrec.study.finished import Finished
from mgrec.study.look import Look
from mgrec.study.overlap import Overlap, hits_of, listed, mean, shared


def dominances_of(
    rows: Mapping[str, list[Finished]], looks: Mapping[str, Look]
) -> tuple[dict[str, tuple[Dominance, ...]], dict[str, float], dict[str, str]]:
    """Compare every seed of early fusion with the modalities' own codes of that seed."""
    known = {found.run.folder: found.codes for found in looks.values()}

    def codes_of(run: Finished) -> Mapping[str, Codes]:
        if run.folder not in known:
            known[run.folder] = run.load().catalogue.codes
        return known[run.folder]

    runs = [run for several in rows.values() for run in several]
    early = {n: several for n, several in rows.items() if _fuses_early(several[0])}
    found: dict[str, tuple[Dominance, ...]] = {}
    kin: dict[str, float] = {}
    lacking = {} if early else {"early": "no run of early fusion is among the models"}
    for name, several in early.items():
        mine = [codes_of(run)[FUSED] for run in several]
        measured, absent = [], set[str]()
        for run, codes in zip(several, mine, strict=True):
            alone = {m: donor(runs, run, m) for m in run.recipe.ids.modalities}
            own = {m: codes_of(of)[m] for m, of in alone.items() if of is not None}
            if len(own) == len(alone):
                measured.append(dominance(codes, own))
            absent |= alone.keys() - own.keys()
        if measured:
            found[name] = tuple(measured)
        else:
            names = " and ".join(sorted(absent))
            lacking[name] = f"no run with codes of {names} alone, same codebooks and seed"
        if len(mine) > 1:
            first = [codes.codes[codes.present, 0] for codes in mine[:2]]
            kin[name] = adjusted_mutual_information(*first)
    return found, kin, lacking


def _fuses_early(run: Finished) -> bool:
    return run.recipe.ids.fusion == "early"


def donor(runs: Iterable[Finished], early: Finished, modality: str) -> Finished | None:
    """Return a run whose codes of a modality were made as early fusion's were, with its seed."""
    same = [
        run
        for run in runs
        if run.seed == early.seed
        and not _fuses_early(run)
        and modality in run.recipe.ids.modalities
        and run.recipe.quantiser == early.recipe.quantiser
        and run.recipe.content == early.recipe.content
    ]
    return min(same, key=lambda run: len(run.recipe.ids.modalities), default=None)


def overlaps_of(
    rows: Mapping[str, list[Finished]],
) -> tuple[tuple[Overlap, ...], dict[str, tuple[str, str, Paired]]]:
    """Compare every row with those of one modality of its family, and with its own next seed.

    Returns
    -------
    overlaps : of all pairs
    closer : row of a fusion -> (one row, other row, test whose lists it shares more of)
    """
    made = {name: Predictions.of(several) for name, several in rows.items()}
    found: list[Overlap] = []
    closer: dict[str, tuple[str, str, Paired]] = {}
    for name, several in rows.items():
        recipe, ours = several[0].recipe, made[name]
        alone = [
            other
            for other, theirs in rows.items()
            if other != name
            and theirs[0].recipe.ids.fusion == "unimodal"
            and theirs[0].recipe.model.family == recipe.model.family
            and ours.hits.keys() & made[other].hits.keys()
        ]
        found += [overlap_of(name, other, ours, made[other]) for other in alone]
        if len(several) > 1:
            found.append(overlap_of(name, name, ours, ours.rolled()))
        if len(alone) == 2 and recipe.ids.fusion != "unimodal":
            test = nearer(ours, *(made[row] for row in alone))
            if test is not None:
                closer[name] = (alone[0], alone[1], test)
    return tuple(found), closer


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a row did on the test cases, seed by seed.

    Attributes
    ----------
    hits : float64 [cases], whether the target is among ten
    lists : int [cases, k], where they were kept
    """

    hits: Mapping[int, NDArray[np.float64]]
    lists: Mapping[int, NDArray[np.integer]]

    @classmethod
    def of(cls, runs: Sequence[Finished]) -> Predictions:
        """Read what runs of one row left."""
        frames = {run.seed: run.tested() for run in runs}
        return cls(
            {seed: hits_of(frame["rank"].to_numpy()) for seed, frame in frames.items()},
            {s: frame["items"].to_numpy() for s, frame in frames.items() if "items" in frame},
        )

    def rolled(self) -> Predictions:
        """Return the same with every seed's results in the place of the seed's before it."""
        return Predictions(_rolled(self.hits), _rolled(self.lists))

    def alike(self, other: Predictions) -> dict[int, NDArray[np.float64]]:
        """Return by seed, float64 [cases]: the share of every list that the other has too."""
        return {
            seed: listed(lists, other.lists[seed])
            for seed, lists in self.lists.items()
            if seed in other.lists
        }


Array = TypeVar("Array", bound=NDArray[Any])


def _rolled(by_seed: Mapping[int, Array]) -> dict[int, Array]:
    seeds = list(by_seed)
    if len(seeds) < 2:
        return {}
    return {seed: by_seed[after] for seed, after in zip(seeds, seeds[1:] + seeds[:1], strict=True)}


def nearer(ours: Predictions, one: Predictions, other: Predictions) -> Paired | None:
    """Test whether lists share more with one row's than with another's, seed beside seed.

    Returns
    -------
    One minus the other, over users and seeds; None where lists were not kept.
    """
    shares = [ours.alike(row) for row in (one, other)]
    differences = [shares[0][seed] - shares[1][seed] for seed in shares[0] if seed in shares[1]]
    return from_zero(Scores(np.stack(differences))) if differences else None


def overlap_of(row: str, other: str, ours: Predictions, theirs: Predictions) -> Overlap:
    """Compare two rows over the seeds that both have."""
    seeds = sorted(ours.hits.keys() & theirs.hits.keys())
    mine, others = (np.stack([of.hits[s] for s in seeds]) for of in (ours, theirs))
    alike = ours.alike(theirs)
    return Overlap(
        row,
        other,
        shared(mine, others),
        float(others.mean()),
        mean(np.mean(list(alike.values()), axis=0)) if alike else None,
    )
