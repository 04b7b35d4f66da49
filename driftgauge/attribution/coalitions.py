"""KernelSHAP's sample: which features come from the explained row, which from the reference.

Small and large coalitions weigh most, so their sizes are enumerated while they fit in the sample;
the rest is drawn by weight. A coalition and its complement always come together, which cancels the
odd part of the sampling error: Covert and Lee, "Improving KernelSHAP: practical Shapley value
estimation via linear regression", AISTATS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

# Draws for each coalition that is wanted: towards the end most of them are repetitions.
_MOST_DRAWS = 4
_DRAWN_AT_ONCE = 1 << 14


@dataclass(frozen=True, kw_only=True, eq=False)
class Coalitions:
    """Sets of features with the weights of the regression.

    Attributes
    ----------
    members : ndarray of bool, shape (coalitions, features)
        Neither empty nor full.
    weights : ndarray of float64, shape (coalitions,)
        Add up to 1.
    complete : bool
        Whether these are all there are: then the values are exact.
    """

    members: NDArray[np.bool_]
    weights: NDArray[np.float64]
    complete: bool


def default_samples(features: int) -> int:
    """Return Clarify's default for ``num_samples``: min(2048 + 2 d, 2**d - 2).

    Examples
    --------
    >>> default_samples(3), default_samples(14)
    (6, 2076)
    """
    return min(2048 + 2 * features, all_coalitions(features))


def all_coalitions(features: int) -> int:
    """Return how many coalitions there are, without the empty and the full one."""
    return max(0, (1 << features) - 2)


def choose_coalitions(features: int, samples: int, rng: np.random.Generator) -> Coalitions:
    """Choose coalitions of features.

    Parameters
    ----------
    features : int
        At least 2.
    samples : int
        How many coalitions at most, at least 2.
    rng : numpy Generator

    Returns
    -------
    Coalitions
        All of them if that many are allowed.

    Examples
    --------
    >>> chosen = choose_coalitions(3, 6, np.random.default_rng(0))
    >>> chosen.complete, chosen.members.sum(axis=1).tolist()
    (True, [1, 2, 1, 2, 1, 2])
    """
    sizes = np.arange(1, features // 2 + 1)
    # Lundberg and Lee 2017, theorem 2: (d - 1) / (C(d, s) s (d - s)) a coalition of size s. Here
    # summed over all coalitions of the size, and of its complements.
    mass = (features - 1.0) / (sizes * (features - sizes))
    paired = sizes != features - sizes
    mass[paired] *= 2.0
    mass /= mass.sum()
    members: list[NDArray[np.bool_]] = []
    weights: list[NDArray[np.float64]] = []
    room = samples
    size = 1
    while size <= len(sizes):
        count = comb(features, size) * (2 if paired[size - 1] else 1)
        # A size is enumerated if drawing would be expected to meet all of it.
        if room * mass[size - 1] / mass[size - 1 :].sum() < count * (1.0 - 1e-8):
            break
        members.append(_of_size(features, size, both=bool(paired[size - 1])))
        weights.append(np.full(count, mass[size - 1] / count))
        room -= count
        size += 1
    complete = size > len(sizes)
    if not complete and room >= 2:
        drawn, times = _draw(features, room // 2, mass[size - 1 :], size, rng)
        members.append(drawn)
        weights.append(mass[size - 1 :].sum() * times / times.sum())
    joined = np.concatenate(weights)
    return Coalitions(
        members=np.concatenate(members), weights=joined / joined.sum(), complete=complete
    )


def _of_size(features: int, size: int, *, both: bool) -> NDArray[np.bool_]:
    """Return all coalitions of a size, each followed by its complement if ``both``."""
    chosen = np.array(list(combinations(range(features), size)), dtype=np.intp)
    members = np.zeros((len(chosen), features), dtype=np.bool_)
    np.put_along_axis(members, chosen, True, axis=1)
    return _with_complements(members) if both else members


def _with_complements(members: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.stack((members, ~members), axis=1).reshape(-1, members.shape[1])


def _draw(
    features: int,
    pairs: int,
    mass: NDArray[np.float64],
    smallest: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Draw pairs of complementary coalitions until so many different ones are found.

    Returns
    -------
    members : ndarray of bool, shape (2 * found, features)
    times : ndarray of float64, shape (2 * found,)
        How often each was drawn.
    """
    found: dict[bytes, int] = {}
    masks: list[NDArray[np.bool_]] = []
    times: list[int] = []
    left = _MOST_DRAWS * pairs
    while left > 0 and len(masks) < pairs:
        n = min(left, _DRAWN_AT_ONCE)
        left -= n
        sizes = smallest + rng.choice(len(mass), size=n, p=mass / mass.sum())
        # The ranks of random numbers are a random permutation of the features.
        ranks = np.argsort(np.argsort(rng.random((n, features)), axis=1), axis=1)
        drawn = ranks < sizes[:, None]
        # The first feature is always a member: a pair has one key, whichever half was drawn.
        drawn ^= ~drawn[:, :1]
        keys = np.packbits(drawn, axis=1)
        for i in range(n):
            key = keys[i].tobytes()
            place = found.get(key)
            if place is not None:
                times[place] += 1
            elif len(masks) < pairs:
                found[key] = len(masks)
                masks.append(drawn[i])
                times.append(1)
            else:
                break
    return _with_complements(np.array(masks)), np.repeat(np.array(times, dtype=np.float64), 2)
