"""The diagnosis of a comparison: the paper's analyses, on the models that it left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.catalogue import FUSED, Catalogue
from mgrec.data.features import Codes
from mgrec.errors import RequestError
from mgrec.measure.intervals import Paired
from mgrec.progress import bar
from mgrec.recommender import Recommender
from mgrec.study.attributes import attributes, chosen, telling
from mgrec.study.card import card
from mgrec.study.codemap import CodeMap, codemap
from mgrec.study.company import Company, company, pivot_of
from mgrec.study.correspondence import Correspondence
from mgrec.study.dominance import Dominance
from mgrec.study.finished import Finished, finished
from mgrec.study.look import Look, look, vectors_of
from mgrec.study.overlap import Overlap
from mgrec.study.relations import dominances_of, overlaps_of
from mgrec.study.results import protocol
from mgrec.study.retrieval import Aligned

TELLING = 0.02  # agreement with an attribute below which codes are coloured by popularity


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Everything that a study has to say; what could not be done is in `absent`.

    Attributes
    ----------
    dominances : row of early fusion -> one a seed
    kin : row of early fusion -> agreement of its own first codes between two seeds
    overlaps : of every pair of rows compared; a row with itself is with another seed
    closer : row -> (one row, other row, test): whose lists it shares more of
    correspondences : row -> what it generates without the catalogue
    aligned : row -> retrieval before and after alignment
    telling : attribute -> block -> agreement with its first codes, the most telling first
    company : of the pivot item, None where no item has every modality
    maps : one a block that was made of vectors
    items, root : the catalogue, to show items from
    users : test cases that were searched without the catalogue
    absent : analysis -> row -> why not
    """

    dominances: Mapping[str, tuple[Dominance, ...]]
    kin: Mapping[str, float]
    overlaps: tuple[Overlap, ...]
    closer: Mapping[str, tuple[str, str, Paired]]
    correspondences: Mapping[str, Correspondence]
    aligned: Mapping[str, Aligned]
    telling: Mapping[str, Mapping[str, float]]
    company: Company | None
    maps: tuple[CodeMap, ...]
    items: pl.DataFrame
    root: Path | None
    users: int
    facts: Mapping[str, str | int | float]
    absent: Mapping[str, Mapping[str, str]]
    card: Mapping[str, str]


def diagnose(
    folder: Path | str,
    *,
    users: int = 1000,
    seed: int = 0,
    item: str | None = None,
    attribute: str | None = None,
) -> Diagnosis:
    """Study the models of a comparison's folder; nothing of it is changed.

    Parameters
    ----------
    folder : that `mgrec.study.compare.compare` wrote
    users : test cases that are searched without the catalogue
    seed : of the draw of these users, and of the items withheld from alignment
    item : id of the pivot item; None takes the most taken one with every modality
    attribute : column that maps are coloured by; None takes the one that codes tell most of

    Raises
    ------
    RequestError
        If the folder, the item, the attribute or a number does not fit.
    ArtifactError
        If a run cannot be read.
    """
    if users < 1:
        raise RequestError(f"users: expected at least 1, found {users}")
    runs = finished(Path(folder))
    base = runs[0].load()
    catalogue, counts = base.catalogue, base.counts
    _check(catalogue, item, attribute)  # before what takes minutes
    rows = _by_row(runs)
    looks = _looks(rows, users, seed)
    dominances, kin, lacking = dominances_of(rows, looks)
    overlaps, closer = overlaps_of(rows)
    blocks = _blocks(looks.values())
    own = {name: seen.codes[name] for name, seen in blocks.items() if name != FUSED}
    told = telling(
        attributes(catalogue.items), {name: seen.codes[name] for name, seen in blocks.items()}
    )
    maps = _maps(blocks, catalogue.items, counts, told, attribute)
    found = {name: seen.correspondence for name, seen in looks.items()}
    learned = {name: seen.aligned for name, seen in looks.items()}
    bare = {name: "ready-made codes, without vectors" for name in blocks if name not in maps}
    return Diagnosis(
        dominances=dominances,
        kin=kin,
        overlaps=overlaps,
        closer=closer,
        correspondences={n: one for n, one in found.items() if isinstance(one, Correspondence)},
        aligned={name: one for name, one in learned.items() if isinstance(one, Aligned)},
        telling=told,
        company=_company(catalogue, own, counts, item),
        maps=tuple(maps.values()),
        items=catalogue.items,
        root=catalogue.root,
        users=len(base.split().test.sample(users, seed)),
        facts={
            "models": len(rows),
            "items": catalogue.n_items,
            **{f"items with {name}": int(codes.present.sum()) for name, codes in own.items()},
            "test cases": len(runs[0].tested()),
        },
        absent=_absent({"dominance": lacking, "map": bare}, looks),
        card=_card(runs, base, users, seed),
    )


def _looks(rows: Mapping[str, Sequence[Finished]], users: int, seed: int) -> dict[str, Look]:
    """Look at the first seed of every row."""
    looks = {}
    with bar("study", len(rows), "models") as shown:
        for name, (first, *_) in rows.items():
            shown.note(name)
            looks[name] = look(first, users, seed)
            shown.advance()
    return looks


def _absent(
    known: Mapping[str, Mapping[str, str]], looks: Mapping[str, Look]
) -> dict[str, Mapping[str, str]]:
    """Return why an analysis could not be made, by analysis and row, what a look says added."""
    loose = {name: seen.correspondence for name, seen in looks.items()}
    aligned = {name: seen.aligned for name, seen in looks.items()}
    reasons = {
        **known,
        "correspondence": {name: why for name, why in loose.items() if isinstance(why, str)},
        "alignment": {name: why for name, why in aligned.items() if isinstance(why, str)},
    }
    if not any(aligned.values()):
        reasons["alignment"] = {"late++": "no recipe that aligns is among the models"}
    return {analysis: why for analysis, why in reasons.items() if why}


def _check(catalogue: Catalogue, item: str | None, attribute: str | None) -> None:
    """Refuse an item or an attribute that is not there."""
    if item is not None and catalogue.index_of([item])[0] < 0:
        raise RequestError(f"item '{item}': not in the catalogue")
    if attribute is not None:
        chosen(catalogue.items, attribute)


def _by_row(runs: Sequence[Finished]) -> dict[str, list[Finished]]:
    """Return the runs of every row, its first seed first."""
    rows: dict[str, list[Finished]] = {}
    for run in runs:
        rows.setdefault(run.name, []).append(run)
    return rows


def _blocks(looks: Iterable[Look]) -> dict[str, Look]:
    """Return, for every block, the first model that has it; modalities before what is fused."""
    found: dict[str, Look] = {}
    for seen in looks:
        for name in seen.codes:
            found.setdefault(name, seen)
    return dict(sorted(found.items(), key=lambda pair: pair[0] == FUSED))


def _company(
    catalogue: Catalogue,
    codes: Mapping[str, Codes],
    counts: NDArray[np.int64],
    item: str | None,
) -> Company | None:
    """Return the company of the pivot item, in every modality's own codes that it has."""
    if item is None:
        pivot = pivot_of(codes, counts)
        return None if pivot is None else company(codes, counts, pivot)
    pivot = int(catalogue.index_of([item])[0])
    has = {name: block for name, block in codes.items() if block.present[pivot]}
    return company(has, counts, pivot) if has else None


def _maps(
    blocks: Mapping[str, Look],
    items: pl.DataFrame,
    counts: NDArray[np.int64],
    told: Mapping[str, Mapping[str, float]],
    wanted: str | None,
) -> dict[str, CodeMap]:
    """Return the map of every block that has vectors, all coloured by one attribute."""
    best = next(iter(told), None)
    if wanted is None and best is not None and max(told[best].values()) >= TELLING:
        wanted = best
    attribute = None if wanted is None else chosen(items, wanted)
    found = {}
    for name, seen in blocks.items():
        if (vectors := vectors_of(seen.run, name)) is not None:
            found[name] = codemap(name, seen.codes[name], vectors, counts, attribute)
    return found


def _card(runs: Sequence[Finished], base: Recommender, users: int, seed: int) -> dict[str, str]:
    names = list(dict.fromkeys(run.name for run in runs))
    seeds = {name: [str(run.seed) for run in runs if run.name == name] for name in names}
    return card(
        recipes=", ".join(names),
        seeds="; ".join(f"{name} {', '.join(values)}" for name, values in seeds.items()),
        fingerprint=base.fingerprint,
        protocol=protocol(base, False),
        more={"sample": f"at most {users:,} test cases, drawn with seed {seed}"},
    )
