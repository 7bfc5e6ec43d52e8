"""A beam search that is slow and obvious: one user, one prefix at a time, nothing shared."""

import math

import torch

from mgrec.model.generator import Generator


def log_probs(model: Generator, history: list[int], prefix: tuple[int, ...]) -> dict[int, float]:
    """Return the log-probability of every legal code after a prefix of codes."""
    slots = model.ids.target_slots
    codes = torch.from_numpy(model.ids.target_codes())
    under = (codes[:, : len(prefix)] == torch.tensor(prefix)).all(1)
    legal = sorted(set(codes[under, len(prefix)].tolist()))
    if model.legal and int(under.sum()) == 1:
        return {legal[0]: 0.0}
    context = model.context(torch.tensor([history]))
    before = torch.tensor([[s.first + c for s, c in zip(slots, prefix, strict=False)]])
    hidden = model.decoder(context, model.tokens(before.long().view(1, -1)))[0, -1]
    first = slots[len(prefix)].first
    logits = (model.head @ hidden).double()
    among = logits[[first + c for c in legal]] if model.legal else logits
    total = float(among.logsumexp(0))
    return {c: float(logits[first + c]) - total for c in legal}


@torch.inference_mode()
def search(
    model: Generator, history: list[int], beams: int, allowed: set[int]
) -> list[tuple[int, float]]:
    """Return (item, score) of the best items, best first."""
    codes = [tuple(row) for row in model.ids.target_codes().tolist()]
    alive = {codes[item][:n] for item in allowed for n in range(len(codes[item]) + 1)}
    kept: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for _ in range(model.trie.depth):
        grown = [
            ((*prefix, code), score + gain)
            for prefix, score in kept
            for code, gain in log_probs(model, history, prefix).items()
            if (*prefix, code) in alive
        ]
        kept = sorted(grown, key=lambda pair: -pair[1])[:beams]
    item_of = {code: item for item, code in enumerate(codes)}
    return [(item_of[prefix], score) for prefix, score in kept if math.isfinite(score)]
