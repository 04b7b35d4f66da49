"""Concept-drift detectors: they tell when a stream's error rate or mean loss has changed.

Each detector takes one outcome at a time, such as 1 for a wrong prediction and 0 for a right one,
and answers whether it fires. After that it starts anew, but ADWIN, which drops what is outdated.
They run on windows' aggregates as well: an error rate with the number of outcomes it is the
mean of. Real traffic comes in clusters, and then a window of n rows says less than n outcomes
would: ``run_detector`` divides by the design effect.

Detectors are ``msgspec`` structures: settings and state together are one small JSON object.

EDDM is missing on purpose: with an error rate that never changes it fires on most streams within
a thousand outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from driftgauge.errors import DriftgaugeError


class DetectorError(DriftgaugeError):
    """A detector was given what it cannot use."""


class _Bucket(msgspec.Struct, array_like=True):
    """Outcomes that ADWIN keeps together; ``squares``: of the deviations from their mean."""

    count: float
    total: float
    squares: float


class Adwin(msgspec.Struct, kw_only=True, tag="adwin"):
    r"""ADWIN: an adaptive window that is cut wherever its two parts differ too much.

    The window is kept in buckets whose sizes grow geometrically, at most ``max_buckets`` of each
    size. Every ``clock`` updates all cuts between buckets are tried; the oldest bucket is dropped
    as long as for any cut into n0 and n1 outcomes, with n = n0 + n1,

    .. math:: |\mu_0 - \mu_1| > \sqrt{\frac{2}{m} \sigma^2 \ln \frac{2 \ln n}{\delta}}
        + \frac{2}{3 m} \ln \frac{2 \ln n}{\delta}, \qquad
        \frac{1}{m} = \frac{1}{n_0 - 4} + \frac{1}{n_1 - 4}

    Finds changes in both directions. A value with a weight is a bucket of so many outcomes of
    0 or 1.

    Attributes
    ----------
    delta : float
        The smaller, the fewer false alarms.
    clock : int
        Updates between two looks: 32 for single outcomes, 1 for windows.
    max_buckets : int
        More buckets mean finer cuts and more memory.

    References
    ----------
    .. [1] Bifet, A. and Gavalda, R. (2007), Learning from time-changing data with adaptive
       windowing, SIAM International Conference on Data Mining.

    Examples
    --------
    >>> detector = Adwin()
    >>> [i for i in range(2000) if detector.update(float(i >= 1000))][0]
    1023
    """

    delta: float = 0.002
    clock: int = 32
    max_buckets: int = 5
    ticks: int = 0
    # By size, smallest first; of one size the oldest first.
    rows: list[list[_Bucket]] = []

    def update(self, value: float, weight: float = 1.0) -> bool:
        """Take the mean of ``weight`` outcomes; return whether the window was cut."""
        _check(value, weight, bounded=weight != 1.0)
        # The deviations of outcomes of 0 and 1 from their mean.
        within = weight * value * (1.0 - value) if weight != 1.0 else 0.0
        self._insert(_Bucket(weight, weight * value, within))
        self.ticks += 1
        if self.ticks % self.clock:
            return False
        fired = False
        while self._must_cut():
            self._drop_oldest()
            fired = True
        return fired

    @property
    def mean(self) -> float | None:
        """Mean of the outcomes in the window; None if there is none."""
        buckets = self._oldest_first()
        return sum(b.total for b in buckets) / sum(b.count for b in buckets) if buckets else None

    def _oldest_first(self) -> list[_Bucket]:
        return [bucket for row in reversed(self.rows) for bucket in row]

    def _insert(self, bucket: _Bucket) -> None:
        if not self.rows:
            self.rows = [[]]
        self.rows[0].append(bucket)
        for size, row in enumerate(self.rows):
            if len(row) <= self.max_buckets:
                return
            if size + 1 == len(self.rows):
                self.rows.append([])
            self.rows[size + 1].append(_merged(row[0], row[1]))
            del row[:2]

    def _drop_oldest(self) -> None:
        del self.rows[-1][0]
        while self.rows and not self.rows[-1]:
            self.rows.pop()

    def _must_cut(self) -> bool:
        buckets = self._oldest_first()
        whole = _Bucket(0.0, 0.0, 0.0)
        for bucket in buckets:
            whole = _merged(whole, bucket)
        if whole.count <= _GRACE:
            return False
        spread = math.log(2.0 * math.log(whole.count) / self.delta)
        variance = whole.squares / whole.count
        older = older_total = 0.0
        for bucket in buckets[:-1]:
            older += bucket.count
            older_total += bucket.total
            newer, newer_total = whole.count - older, whole.total - older_total
            if min(older, newer) < _SHORTEST:
                continue
            inverse = 1.0 / (older - _SHORTEST + 1.0) + 1.0 / (newer - _SHORTEST + 1.0)
            limit = math.sqrt(2.0 * inverse * variance * spread) + 2.0 / 3.0 * spread * inverse
            if abs(older_total / older - newer_total / newer) > limit:
                return True
        return False


# Outcomes that either side of a cut needs, and outcomes before the first look.
_SHORTEST = 5
_GRACE = 10


def _merged(a: _Bucket, b: _Bucket) -> _Bucket:
    if not a.count:
        return b
    count = a.count + b.count
    apart = a.total / a.count - b.total / b.count
    squares = a.squares + b.squares + apart * apart * a.count * b.count / count
    return _Bucket(count, a.total + b.total, squares)


class PageHinkley(msgspec.Struct, kw_only=True, tag="page_hinkley"):
    r"""Page and Hinkley's test: a sum of deviations from the running mean, for increases.

    .. math:: m_t = \alpha m_{t-1} + (x_t - \bar x_t - \delta), \qquad
        m_t - \min_{s \le t} m_s > \lambda

    Any finite values. A value with a weight adds so many times its deviation.

    Attributes
    ----------
    delta : float
        Increases of the mean up to this do not count, in the unit of the values.
    threshold : float
        Lambda: the sum of deviations that fires, in the unit of the values.
    alpha : float
        Forgetting factor of the sum, applied once an update.
    min_updates : int
        Never fires before.

    References
    ----------
    .. [1] Page, E. S. (1954), Continuous inspection schemes, Biometrika.
    .. [2] Hinkley, D. V. (1971), Inference about the change-point from cumulative sum tests,
       Biometrika.

    Examples
    --------
    >>> detector = PageHinkley()
    >>> [i for i in range(2000) if detector.update(float(i >= 1000))][0]
    1051
    """

    delta: float = 0.005
    threshold: float = 50.0
    alpha: float = 0.9999
    min_updates: int = 30
    updates: int = 0
    count: float = 0.0
    mean: float = 0.0
    deviations: float = 0.0
    lowest: float | None = None

    def update(self, value: float, weight: float = 1.0) -> bool:
        """Take the mean of ``weight`` outcomes; return whether the mean has risen."""
        _check(value, weight, bounded=False)
        self.updates += 1
        self.count += weight
        self.mean += (value - self.mean) * weight / self.count
        deviation = weight * (value - self.mean - self.delta)
        self.deviations = self.alpha * self.deviations + deviation
        self.lowest = min(self.deviations, self.deviations if self.lowest is None else self.lowest)
        if self.updates < self.min_updates or self.deviations - self.lowest <= self.threshold:
            return False
        self.updates, self.count, self.mean, self.deviations, self.lowest = 0, 0.0, 0.0, 0.0, None
        return True


class Ddm(msgspec.Struct, kw_only=True, tag="ddm"):
    r"""Drift detection method: the error rate above its lowest by several standard errors.

    .. math:: p_t + s_t > p_{min} + k s_{min}, \qquad s_t = \sqrt{p_t (1 - p_t) / n_t}

    with the minimum where p + s was lowest. Outcomes are 0 (right) and 1 (wrong), or shares of
    wrong ones with the number of outcomes as weight. Finds increases. Looked at after every
    outcome, k = 3 is no rare event: one stable stream in four fires within a thousand outcomes.

    Attributes
    ----------
    drift_level : float
        k.
    min_count : int
        Outcomes before the first look.

    References
    ----------
    .. [1] Gama, J., Medas, P., Castillo, G. and Rodrigues, P. (2004), Learning with drift
       detection, Brazilian Symposium on Artificial Intelligence.

    Examples
    --------
    >>> detector = Ddm()
    >>> [i for i in range(2000) if detector.update(float(i % 5 == 0 or i >= 1000))][0]
    1032
    """

    drift_level: float = 3.0
    min_count: int = 30
    count: float = 0.0
    rate: float = 0.0
    lowest: tuple[float, float] | None = None

    def update(self, value: float, weight: float = 1.0) -> bool:
        """Take the share of wrong among ``weight`` outcomes; return whether it has risen."""
        _check(value, weight, bounded=True)
        self.count += weight
        self.rate += (value - self.rate) * weight / self.count
        if self.count <= self.min_count:
            return False
        error = math.sqrt(self.rate * (1.0 - self.rate) / self.count)
        if self.lowest is None or self.rate + error <= sum(self.lowest):
            self.lowest = (self.rate, error)
        if self.rate + error <= self.lowest[0] + self.drift_level * self.lowest[1]:
            return False
        self.count, self.rate, self.lowest = 0.0, 0.0, None
        return True


class HddmA(msgspec.Struct, kw_only=True, tag="hddm_a"):
    r"""HDDM_A: Hoeffding's bound on the mean of all outcomes against that of the first n0.

    The cut is where the upper (for decreases: lower) bound of the mean was lowest. It fires when

    .. math:: \bar x_n - \bar x_{n_0} \ge
        \sqrt{\frac{1}{2} \Bigl(\frac{1}{n_0} - \frac{1}{n}\Bigr) \ln \frac{2}{\alpha}}

    Values lie between 0 and 1; one with a weight counts as so many outcomes, as the bound allows.

    Attributes
    ----------
    drift_confidence : float
        Alpha: the chance of a false alarm of a single comparison.
    two_sided : bool
        Whether decreases fire as well.

    References
    ----------
    .. [1] Frias-Blanco, I., del Campo-Avila, J., Ramos-Jimenez, G., Morales-Bueno, R.,
       Ortiz-Diaz, A. and Caballero-Mota, Y. (2015), Online and non-parametric drift detection
       methods based on Hoeffding's bounds, IEEE Transactions on Knowledge and Data Engineering.

    Examples
    --------
    >>> detector = HddmA()
    >>> [i for i in range(2000) if detector.update(float(i >= 1000))][0]
    1003
    """

    drift_confidence: float = 0.001
    two_sided: bool = False
    count: float = 0.0
    total: float = 0.0
    # Count and total up to the cut for increases, and for decreases.
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None

    def update(self, value: float, weight: float = 1.0) -> bool:
        """Take the mean of ``weight`` outcomes; return whether the mean has changed."""
        _check(value, weight, bounded=True)
        self.count += weight
        self.total += weight * value
        now = (self.count, self.total)
        if self.low is None or self._bound(self.low, 1.0) >= self._bound(now, 1.0):
            self.low = now
        if self.high is None or self._bound(self.high, -1.0) <= self._bound(now, -1.0):
            self.high = now
        fired = self._risen(self.low, 1.0) or (self.two_sided and self._risen(self.high, -1.0))
        if fired:
            self.count, self.total, self.low, self.high = 0.0, 0.0, None, None
        return fired

    def _bound(self, at: tuple[float, float], sign: float) -> float:
        count, total = at
        return total / count + sign * math.sqrt(-math.log(self.drift_confidence) / (2.0 * count))

    def _risen(self, cut: tuple[float, float], sign: float) -> bool:
        count, total = cut
        if count == self.count:
            return False
        inverse = (self.count - count) / count / self.count
        limit = math.sqrt(inverse / 2.0 * math.log(2.0 / self.drift_confidence))
        return sign * (self.total / self.count - total / count) >= limit


class _Ewma(msgspec.Struct, array_like=True):
    """An exponentially weighted mean; ``squares``: the sum of its squared weights."""

    mean: float
    squares: float


class HddmW(msgspec.Struct, kw_only=True, tag="hddm_w"):
    r"""HDDM_W: McDiarmid's bound on two exponentially weighted means, for sudden changes.

    The first mean is of all outcomes up to the cut, where its upper bound was lowest (for
    decreases: its lower bound highest), the second of those since. It fires when they differ by
    more than

    .. math:: \sqrt{\frac{1}{2} \Bigl(\sum w_{1i}^2 + \sum w_{2i}^2\Bigr) \ln \frac{1}{\alpha}}

    Values lie between 0 and 1. The mean of n outcomes enters the bound with its squared weight
    over n, but forgetting goes by updates, whatever they weigh.

    Attributes
    ----------
    drift_confidence : float
        Alpha: the chance of a false alarm of a single comparison.
    forgetting : float
        Lambda: the weight of the newest update.
    two_sided : bool
        Whether decreases fire as well.

    References
    ----------
    .. [1] Frias-Blanco et al. (2015), as for ``HddmA``.

    Examples
    --------
    >>> detector = HddmW()
    >>> [i for i in range(2000) if detector.update(float(i >= 1000))][0]
    1010
    """

    drift_confidence: float = 0.001
    forgetting: float = 0.05
    two_sided: bool = False
    whole: _Ewma | None = None
    # Before and since the cut; for increases, and for decreases.
    low: tuple[_Ewma, _Ewma | None] | None = None
    high: tuple[_Ewma, _Ewma | None] | None = None

    def update(self, value: float, weight: float = 1.0) -> bool:
        """Take the mean of ``weight`` outcomes; return whether the mean has changed."""
        _check(value, weight, bounded=True)
        self.whole = self._moved(self.whole, value, weight)
        self.low = self._cut(self.low, self.whole, value, weight, 1.0)
        self.high = self._cut(self.high, self.whole, value, weight, -1.0)
        fired = self._apart(self.low, 1.0) or (self.two_sided and self._apart(self.high, -1.0))
        if fired:
            self.whole = self.low = self.high = None
        return fired

    def _moved(self, mean: _Ewma | None, value: float, weight: float) -> _Ewma:
        if mean is None:
            return _Ewma(value, 1.0 / weight)
        new, old = self.forgetting, 1.0 - self.forgetting
        squares = new * new / weight + old * old * mean.squares
        return _Ewma(new * value + old * mean.mean, squares)

    def _cut(
        self,
        cut: tuple[_Ewma, _Ewma | None] | None,
        whole: _Ewma,
        value: float,
        weight: float,
        sign: float,
    ) -> tuple[_Ewma, _Ewma | None]:
        if cut is None or self._bound(whole, sign) < self._bound(cut[0], sign):
            return whole, None
        return cut[0], self._moved(cut[1], value, weight)

    def _margin(self, squares: float) -> float:
        return math.sqrt(-squares * math.log(self.drift_confidence) / 2.0)

    def _bound(self, mean: _Ewma, sign: float) -> float:
        return sign * mean.mean + self._margin(mean.squares)

    def _apart(self, cut: tuple[_Ewma, _Ewma | None], sign: float) -> bool:
        before, since = cut
        if since is None:
            return False
        return sign * (since.mean - before.mean) > self._margin(before.squares + since.squares)


Detector = Adwin | PageHinkley | Ddm | HddmA | HddmW


def run_detector(
    detector: Detector, aggregates: Iterable[tuple[float, int]], *, design_effect: float = 1.0
) -> tuple[int, ...]:
    """Give windows' aggregates to a detector and return which of them made it fire.

    Parameters
    ----------
    detector : Detector
        Its state goes on from where it was. Settings that count updates are for windows here:
        ``Adwin(clock=1)``, ``PageHinkley(min_updates=...)``.
    aggregates : iterable of (float, int)
        Mean outcome and number of rows of each window, in time order. Windows without rows are
        passed over.
    design_effect : float
        How many times larger the variance of windows' means is than independent rows would
        give; a window counts as its rows divided by it.

    Returns
    -------
    tuple of int
        Positions, from 0.

    Raises
    ------
    DetectorError
        If a mean is none that the detector can use.

    Examples
    --------
    >>> windows = [(0.2, 500)] * 20 + [(0.3, 500)] * 20
    >>> run_detector(HddmA(), windows), run_detector(HddmA(), windows, design_effect=10.0)
    ((20,), (32,))
    """
    if not 0.0 < design_effect < math.inf:
        raise DetectorError(f"a design effect of {design_effect} is not a number above 0")
    return tuple(
        i
        for i, (value, rows) in enumerate(aggregates)
        if rows and detector.update(value, rows / design_effect)
    )


def encode_detector(detector: Detector) -> bytes:
    """Write a detector's settings and state as JSON."""
    return msgspec.json.encode(detector)


def decode_detector(data: bytes) -> Detector:
    """Read what ``encode_detector`` wrote.

    Raises
    ------
    DetectorError
        If it is no detector.
    """
    try:
        detector: Detector = msgspec.json.decode(data, type=Detector)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise DetectorError(f"the state of a detector cannot be read: {error}") from error
    return detector


def _check(value: float, weight: float, *, bounded: bool) -> None:
    if not (math.isfinite(value) and 0.0 < weight < math.inf):
        raise DetectorError(
            f"an outcome of {value} with weight {weight}: values are finite, weights above 0"
        )
    if bounded and not 0.0 <= value <= 1.0:
        raise DetectorError(
            f"an outcome of {value}: here outcomes lie between 0 and 1; Page and Hinkley's test "
            "takes any loss"
        )
