"""Shapley values: fair shares of what a group of players achieves, which add up to all of it.

A player's share is the mean, over all orders in which players may join, of what its joining adds
(Shapley 1953). Up to `FEW` players every group is looked at; with more, orders are drawn, each
beside its reverse (Mitchell et al., arXiv 2104.12199), and the shares still add up
exactly, since what each order adds does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

FEW = 6  # players of whom all groups are looked at
GROUPS = 512  # about as many are looked at otherwise

Worth = Callable[[NDArray[np.bool_]], NDArray[np.float64]]  # groups [n, players] -> worth [n]


def shares(players: int, worth: Worth, seed: int = 0) -> NDArray[np.float64]:
    """Return float64 [players], which add up to ``worth(all) - worth(none)``.

    Parameters
    ----------
    worth : of many groups at once, each a row of bool [groups, players]
    seed : of the orders drawn
    """
    return _all(players, worth) if players <= FEW else _drawn(players, worth, seed)


def _all(players: int, worth: Worth) -> NDArray[np.float64]:
    groups = np.array(
        [
            [player in members for player in range(players)]
            for size in range(players + 1)
            for members in combinations(range(players), size)
        ],
        bool,
    ).reshape(-1, players)
    found = worth(groups)
    number = groups @ (1 << np.arange(players))  # of each group
    by_number = np.empty(len(groups))
    by_number[number] = found
    total = np.zeros(players)
    for player in range(players):
        without = number[~groups[:, player]]
        sizes = groups[~groups[:, player]].sum(1)
        weight = [1 / (players * math.comb(players - 1, int(size))) for size in sizes]
        total[player] = weight @ (by_number[without + (1 << player)] - by_number[without])
    return total


def _drawn(players: int, worth: Worth, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    pairs = max(1, GROUPS // (2 * players))
    half = np.array([rng.permutation(players) for _ in range(pairs)])
    orders = np.concatenate([half, half[:, ::-1]])  # [orders, players]
    place = np.argsort(orders, axis=1)  # of each player
    groups = place[:, None, :] < np.arange(players + 1)[:, None]  # [orders, joined, players]
    unique, inverse = np.unique(groups.reshape(-1, players), axis=0, return_inverse=True)
    found = worth(unique)[inverse.reshape(-1)].reshape(len(orders), players + 1)
    total = np.zeros(players)
    np.add.at(total, orders, np.diff(found, axis=1))
    return total / len(orders)
