"""The default rules of other tools, as plain functions on samples.

Each rule is the tool's documented default, written anew from its definition:

- Evidently 0.7: with more than 1,000 reference rows a numeric column drifts when Wasserstein's
  distance divided by the reference's standard deviation is at least 0.1, a categorical one (or a
  numeric one of at most 5 values) when the Jensen-Shannon distance (natural logarithm, 30 bins)
  is; the dataset drifts when at least half of its columns do.
- NannyML 0.13: Jensen-Shannon distance (base 2) to the reference in Doane's bins, or by category;
  a column drifts above the mean plus three standard deviations of the reference's own chunks.
- Deequ and Model Monitor, Robust: the largest difference of the distribution functions or of a
  category's shares, less 1.8 sqrt((n + m) / (n m)), above 0.1.
- PSI over ten equal parts of the reference, above 0.2: the rule of thumb in credit scoring.
- Kolmogorov-Smirnov and chi-squared tests at 0.05 for each column: what Evidently does with at most
  1,000 reference rows, and many scripts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Sample = Mapping[str, NDArray[np.generic]]
_ROBUST = 1.8


class Rule(Protocol):
    """A rule that was given its reference."""

    def drifted(self, window: Sample) -> set[str]:
        """Name the columns that drift in a window."""


def is_numeric(values: NDArray[np.generic]) -> bool:
    """Tell numbers from categories."""
    return bool(np.issubdtype(values.dtype, np.number))


def known(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the numbers that are there."""
    numbers = values.astype(np.float64)
    return np.asarray(numbers[np.isfinite(numbers)])


def category_shares(
    reference: NDArray[np.generic], window: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of all categories of either sample."""
    words = np.unique(np.concatenate((reference, window)))
    there = np.bincount(np.searchsorted(words, reference), minlength=words.size)
    here = np.bincount(np.searchsorted(words, window), minlength=words.size)
    return there / max(1, reference.size), here / max(1, window.size)


def js_distance(p: NDArray[np.float64], q: NDArray[np.float64], base: float) -> float:
    """Return the Jensen-Shannon distance of two distributions."""
    middle = (p + q) / 2
    both = stats.entropy(p, middle, base=base) + stats.entropy(q, middle, base=base)
    return float(np.sqrt(max(0.0, both / 2)))


@dataclass(frozen=True)
class Evidently:
    """Evidently's column drift with more than 1,000 reference rows."""

    reference: Sample
    limit: float = 0.1

    def drifted(self, window: Sample) -> set[str]:
        """Name the columns that drift in a window."""
        return {name for name in window if self._distance(name, window[name]) >= self.limit}

    def _distance(self, name: str, values: NDArray[np.generic]) -> float:
        there = self.reference[name]
        if not is_numeric(there):
            return js_distance(*category_shares(there, values), base=np.e)
        a, b = known(there), known(values)
        if np.unique(np.concatenate((a, b))).size <= 5:
            return js_distance(*category_shares(a, b), base=np.e)
        return float(stats.wasserstein_distance(a, b)) / max(float(a.std()), 0.001)


class NannyML:
    """NannyML's univariate drift: Jensen-Shannon beyond three deviations of reference chunks."""

    def __init__(self, reference: Sample, chunk: int) -> None:
        self._reference = reference
        self._bins = {
            name: np.histogram_bin_edges(known(values), bins="doane")
            for name, values in reference.items()
            if is_numeric(values)
        }
        rows = next(iter(reference.values())).shape[0]
        self._limits = {}
        for name, values in reference.items():
            found = [
                self._distance(name, values[at : at + chunk])
                for at in range(0, rows - chunk + 1, chunk)
            ]
            self._limits[name] = float(np.mean(found) + 3.0 * np.std(found))

    def drifted(self, window: Sample) -> set[str]:
        """Name the columns that drift in a window."""
        return {name for name in window if self._distance(name, window[name]) > self._limits[name]}

    def _distance(self, name: str, values: NDArray[np.generic]) -> float:
        there = self._reference[name]
        if name not in self._bins:
            return js_distance(*category_shares(there, values), base=2)
        a, b = known(there), known(values)
        p = np.histogram(a, bins=self._bins[name])[0] / max(1, a.size)
        q = np.histogram(b, bins=self._bins[name])[0] / max(1, b.size)
        return js_distance(np.append(p, 0.0), np.append(q, max(0.0, 1.0 - q.sum())), base=2)


@dataclass(frozen=True)
class DeequRobust:
    """Deequ's robust L-infinity with Model Monitor's threshold."""

    reference: Sample
    limit: float = 0.1

    def drifted(self, window: Sample) -> set[str]:
        """Name the columns that drift in a window."""
        return {name for name in window if self._distance(name, window[name]) > self.limit}

    def _distance(self, name: str, values: NDArray[np.generic]) -> float:
        there = self.reference[name]
        if is_numeric(there):
            a, b = known(there), known(values)
            distance = float(stats.ks_2samp(a, b, method="asymp").statistic)
            n, m = a.size, b.size
        else:
            p, q = category_shares(there, values)
            distance, n, m = float(np.abs(p - q).max()), there.size, values.size
        return distance - _ROBUST * float(np.sqrt((n + m) / (n * m)))


class PopulationStability:
    """PSI over tenths of the reference, or over categories."""

    def __init__(self, reference: Sample, limit: float = 0.2) -> None:
        self._reference = reference
        self._limit = limit
        self._edges = {
            name: np.unique(np.quantile(known(values), np.arange(1, 10) / 10))
            for name, values in reference.items()
            if is_numeric(values)
        }

    def drifted(self, window: Sample) -> set[str]:
        """Name the columns that drift in a window."""
        return {name for name in window if self._distance(name, window[name]) > self._limit}

    def _distance(self, name: str, values: NDArray[np.generic]) -> float:
        there = self._reference[name]
        if name in self._edges:
            edges = self._edges[name]
            p, q = (
                np.bincount(
                    np.searchsorted(edges, known(x), side="right"), minlength=edges.size + 1
                )
                / max(1, known(x).size)
                for x in (there, values)
            )
        else:
            p, q = category_shares(there, values)
        p, q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
        return float(((q - p) * np.log(q / p)).sum())


@dataclass(frozen=True)
class PlainTests:
    """Kolmogorov-Smirnov or chi-squared for each column, without any correction."""

    reference: Sample
    limit: float = 0.05

    def drifted(self, window: Sample) -> set[str]:
        """Name the columns that drift in a window."""
        return {name for name in window if self._p_value(name, window[name]) < self.limit}

    def _p_value(self, name: str, values: NDArray[np.generic]) -> float:
        there = self.reference[name]
        if is_numeric(there):
            return float(stats.ks_2samp(known(there), known(values), method="asymp").pvalue)
        p, q = category_shares(there, values)
        some = p > 0
        expected = p[some] * values.size * (q[some].sum() / p[some].sum())
        return float(stats.chisquare(q[some] * values.size, expected).pvalue)


def rules_for(reference: Sample, *, rows: int) -> dict[str, Rule]:
    """Return every rule for a reference; ``rows``: of a window, which NannyML's limits need."""
    return {
        "Evidently": Evidently(reference),
        "NannyML": NannyML(reference, rows),
        "Deequ Robust": DeequRobust(reference),
        "PSI > 0.2": PopulationStability(reference),
        "KS, chi² p < 0.05": PlainTests(reference),
    }
