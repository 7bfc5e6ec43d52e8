"""How runs relate: fused codes to each modality's own, a row's predictions to another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mgrec.catalogue import FUSED
from mgrec.data.features import Codes
from mgrec.measure.information import adjusted_mutual_information
from mgrec.measure.intervals import Paired
from mgrec.study import overlap
from mgrec.study.dominance import Dominance, dominance
from mgrec.study.finished import Finished
from mgrec.study.look import Look
from mgrec.study.overlap import Overlap


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
        measured = []
        for run, codes in zip(several, mine, strict=True):
            alone = {m: donor(runs, run, m) for m in run.recipe.ids.modalities}
            own = {m: codes_of(of)[m] for m, of in alone.items() if of is not None}
            if len(own) == len(alone):
                measured.append(dominance(codes, own))
        if measured:
            found[name] = tuple(measured)
        else:
            lacking[name] = "no run of each modality's own codes with the same codebooks and seed"
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
    looks: Mapping[str, Look],
    again: Mapping[str, NDArray[np.int64]],
) -> tuple[tuple[Overlap, ...], dict[str, tuple[str, str, Paired]]]:
    """Compare every row with those of one modality of its family, and with its own next seed."""
    hits = {name: hits_by_seed(several) for name, several in rows.items()}
    found, closer = [], {}
    for name, several in rows.items():
        recipe, lists = several[0].recipe, looks[name].lists
        alone = [
            other
            for other, theirs in rows.items()
            if other != name
            and theirs[0].recipe.ids.fusion == "unimodal"
            and theirs[0].recipe.model.family == recipe.model.family
        ]
        for other in alone:
            seeds = sorted(hits[name].keys() & hits[other].keys())
            if not seeds:
                continue
            ours, theirs = (np.stack([hits[row][s] for s in seeds]) for row in (name, other))
            share = overlap.mean(overlap.listed(lists, looks[other].lists))
            found.append(
                Overlap(name, other, overlap.shared(ours, theirs), float(theirs.mean()), share)
            )
        if name in again:
            ours = np.stack(list(hits[name].values()))
            share = overlap.mean(overlap.listed(lists, again[name]))
            of_hits = overlap.shared(ours, np.roll(ours, 1, axis=0))
            found.append(Overlap(name, name, of_hits, float(ours.mean()), share))
        if len(alone) == 2 and recipe.ids.fusion != "unimodal":
            first, second = (looks[row].lists for row in alone)
            closer[name] = (alone[0], alone[1], overlap.closer(lists, first, second))
    return tuple(found), closer


def hits_by_seed(runs: Sequence[Finished]) -> dict[int, NDArray[np.float64]]:
    """Return which test cases each seed of a row hits among ten, float64 [cases]."""
    return {run.seed: overlap.hits_of(run.ranks()["rank"].to_numpy()) for run in runs}
