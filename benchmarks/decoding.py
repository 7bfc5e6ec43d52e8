"""Decoding beside Hugging Face's `generate` with a callback: users a second, same ranking.

The models are untrained. For the paper family and T5, whose beams all go to the end, that changes
nothing; the default's end early, a trained one's at other places (`benchmarks.scores` times one).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.figure import Figure, bounded, faster
from benchmarks.planted import embeddings_of, ids_of, make_shop
from benchmarks.t5 import TokenTrie, generate_t5, to_t5
from benchmarks.timing import medians
from mgrec import Recipe
from mgrec.configs import SearchConfig
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.ids.semantic_ids import SemanticIds
from mgrec.model.generator import Generator
from mgrec.search.ranking import top

BATCH, HISTORY = 32, 20
INSTEAD = "Hugging Face T5 generate"


def run(quick: bool, data: Path | None) -> list[Figure]:
    """Compare at 4 and at 8 tokens; `data` is not needed."""
    beams, rounds = (5, 2) if quick else (50, 5)
    shop = make_shop(500, 2000) if quick else make_shop()
    histories = shop.log.last(HISTORY).select(np.arange(BATCH))
    text, both = ids_of(shop, {"text": 3}), ids_of(shop, {"text": 4, "image": 3})
    figures = paper(text, histories, beams, rounds)
    vectors = {name: embeddings_of(shop, name) for name in ("text", "image")}
    model = model_of("late", both, vectors)
    return figures + default(model, histories, beams, rounds) + one_user(model, histories, rounds)


def model_of(
    recipe: str, ids: SemanticIds, vectors: dict[str, Embeddings] | None = None
) -> Generator:
    """Return an untrained model."""
    torch.manual_seed(0)
    return Generator(Recipe.named(recipe).model, ids, vectors or {}).eval()


def ours(model: Generator, histories: Sequences, beams: int, precision: str = "float32") -> Tensor:
    """Return int64 [users, beams], as `recommend` finds them."""
    config = SearchConfig(beams=beams, precision=precision)
    return torch.from_numpy(top(model, histories, beams, beams, config)[0])


def paper(ids: SemanticIds, histories: Sequences, beams: int, rounds: int) -> list[Figure]:
    """The same weights in both programs."""
    model = model_of("paper-text", ids)
    t5, trie = to_t5(model), TokenTrie.of(ids)
    padded = torch.from_numpy(histories.padded())
    theirs = generate_t5(t5, trie, padded, beams, beams)[0]
    same = (ours(model, histories, beams) == theirs).all(1).float().mean()
    mine, other, coarse = medians(
        lambda: ours(model, histories, beams),
        lambda: generate_t5(t5, trie, padded, beams, beams),
        lambda: ours(model, histories, beams, "bfloat16"),
        rounds=rounds,
    )
    name = f"decode, paper family, {beams} beams, {len(ids.target)} tokens, batch {BATCH}"
    kept = f"the same {beams} items in the same order for {same:.0%} of users"
    fine = faster(
        f"{name}, fp32", BATCH / mine, BATCH / other, INSTEAD, unit="users/s", least=20, note=kept
    )
    return [
        replace(fine, met=fine.met and bool(same == 1)),
        faster(f"{name}, bf16", BATCH / coarse, BATCH / other, INSTEAD, unit="users/s"),
    ]


def default(model: Generator, histories: Sequences, beams: int, rounds: int) -> list[Figure]:
    """The default model against a T5 of the paper's size on the same IDs."""
    ids = model.ids
    t5, trie = to_t5(model_of("paper-late", ids)), TokenTrie.of(ids)
    padded = torch.from_numpy(histories.padded())
    fine, coarse, other = medians(
        lambda: ours(model, histories, beams),
        lambda: ours(model, histories, beams, "bfloat16"),
        lambda: generate_t5(t5, trie, padded, beams, beams),
        rounds=rounds,
    )
    name = f"decode, default model, {beams} beams, {len(ids.target)} tokens, batch {BATCH}"
    return [
        faster(
            f"{name}, {precision}",
            BATCH / seconds,
            BATCH / other,
            INSTEAD,
            unit="users/s",
            least=100,
        )
        for precision, seconds in (("fp32", fine), ("bf16", coarse))
    ]


def one_user(model: Generator, histories: Sequences, rounds: int) -> list[Figure]:
    """How long one person waits."""
    users = [histories.select(np.array([row])) for row in range(len(histories))]
    each = [medians(lambda user=user: ours(model, user, 20), rounds=rounds)[0] for user in users]
    name = "one user, 20 beams, default model, fp32"
    return [
        bounded(f"{name}, median", 1000 * float(np.median(each)), "ms", 10),
        bounded(f"{name}, slowest of {BATCH}", 1000 * max(each), "ms", 10),
    ]
