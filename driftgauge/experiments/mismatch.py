r"""Sample-ratio mismatch: whether the arms received the shares of the traffic they should have.

If not, something else than chance assigns requests, and whatever it is may also make the
difference between the arms. The test holds however often one looks. The likelihood ratio of an
assignment whose odds are multiplied by exp(t), with share s in block k,

.. math:: \prod_k \frac{e^{t x_k}}{(1 - s_k + s_k e^t)^{n_k}}

for x of n requests to the challenger, is averaged over 2 x 10 sizes of t. It is exact, and holds
for shares that change between blocks (a discrete mixture in the place of the Dirichlet one of
Lindon and Malek 2022).
"""

from __future__ import annotations

import math

import numpy as np

from driftgauge.experiments.blocks import Blocks, Floats
from driftgauge.experiments.verdict import MismatchVerdict

# From a ratio of odds that takes a million requests to find to one that few show.
_TILTS = np.concatenate([sign * 0.01 * 2.0 ** np.arange(10) for sign in (1.0, -1.0)])


def judge_mismatch(blocks: Blocks, *, alpha: float) -> MismatchVerdict:
    """Judge whether requests were assigned as the weights say.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from driftgauge.experiments.arms import Arm
    >>> from driftgauge.experiments.blocks import Block, blocks_of
    >>> day = datetime(2026, 1, 1, tzinfo=UTC)
    >>> block = Block(
    ...     start=day, share=0.5, champion=Arm(requests=5300), challenger=Arm(requests=4700)
    ... )
    >>> found = judge_mismatch(blocks_of([block]), alpha=0.001)
    >>> found.mismatch, found.share
    (True, 0.47)
    """
    champion = sum(block.champion.requests for block in blocks)
    challenger = sum(block.challenger.requests for block in blocks)
    total = champion + challenger
    log_ratios = np.zeros(_TILTS.shape)
    expected = 0.0
    for block in blocks:
        received = block.challenger.requests
        requests = received + block.champion.requests
        expected += block.share * requests
        log_ratios += _log_ratios(float(received), float(requests), block.share)
    p_value = math.exp(-max(0.0, float(_log_mean(log_ratios))))
    return MismatchVerdict(
        champion_requests=champion,
        challenger_requests=challenger,
        expected_share=expected / total if total else None,
        share=challenger / total if total else None,
        p_value=p_value,
        alpha=alpha,
        mismatch=p_value <= alpha,
    )


def log_mismatch(received: Floats, requests: Floats, share: float) -> Floats:
    """Return the logarithm of the evidence for another share than this one.

    Parameters
    ----------
    received : ndarray of float64
        The challenger's requests.
    requests : ndarray of float64
        Those of both arms.
    share : float
        The challenger's planned share.

    Examples
    --------
    >>> float(log_mismatch(np.array(300.0), np.array(1000.0), 0.5).round(1))
    74.7
    """
    return _log_mean(_log_ratios(received, requests, share))


def _log_ratios(received: Floats | float, requests: Floats | float, share: float) -> Floats:
    """Return the log likelihood ratio of each tilt, on a last axis."""
    taken, total = np.asarray(received)[..., None], np.asarray(requests)[..., None]
    found: Floats = _TILTS * taken - total * np.log1p(share * np.expm1(_TILTS))
    return found


def _log_mean(logs: Floats) -> Floats:
    most = logs.max(axis=-1)
    found: Floats = most + np.log(np.exp(logs - most[..., None]).mean(axis=-1))
    return found
