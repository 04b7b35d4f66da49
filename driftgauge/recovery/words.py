"""Columns of texts, recovered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.types import Cell, read_text
from driftgauge.errors import BaselineError
from driftgauge.profile import profile as tally
from driftgauge.profile.cells import MOST_CATEGORIES, numeric_feature
from driftgauge.profile.exact import UNIT_BITS, square_root
from driftgauge.profile.spec import FeatureSpec, Kind, Role
from driftgauge.profile.words import canonical_word, number_word, smallest
from driftgauge.recovery.feature import TYPES, RecoveredFeature, base_tallies
from driftgauge.recovery.spread import Spread, count_in_cells, exact_sums
from driftgauge.report.statistics import FeatureStatistics, NumberStatistics, WordStatistics

_TYPES = (tally.INTEGRAL, tally.FRACTIONAL, tally.BOOLEAN, tally.TEXT)


def recover_words(
    known: FeatureStatistics,
    words: WordStatistics,
    *,
    role: Role,
    rows: int,
    kind: Kind | None,
    domain: tuple[str, ...] | None,
) -> RecoveredFeature:
    """Recover a column that ``statistics.json`` describes as texts.

    Parameters and errors are those of ``driftgauge.baseline_files.recover_feature``.
    """
    listed = _Listed(known, words.counts or {}, rows)
    if kind in ("numeric", "discrete"):
        return _words_as_numbers(known, listed, role=role, kind=kind)
    boolean = int(listed.tallies[tally.BOOLEAN])
    if kind == "boolean" and listed.counts and not boolean:
        raise BaselineError(
            f"column {known.name!r} is set to boolean but holds no true or false: "
            "leave its kind out, or set it to discrete or categorical"
        )
    categories: tuple[str, ...] | None = None
    if kind == "boolean" or (kind is None and boolean and boolean == listed.present):
        kind, categories = "boolean", ("false", "true")
    elif words.counts is None and domain:
        categories = tuple(sorted(_allowed(domain))[:MOST_CATEGORIES])
    recovered = count_named(
        known,
        listed.counts,
        listed.tallies,
        role=role,
        kind=kind or "categorical",
        categories=categories,
    )
    if words.counts is None and categories is not None:
        # They are in the categories, who knows in which.
        recovered.tallies[tally.UNSEEN] = 0
    return recovered


class _Listed:
    """The texts of a column that are listed with their counts, as a profile counts them."""

    def __init__(self, known: FeatureStatistics, listed: Mapping[str, int], rows: int) -> None:
        if sum(listed.values()) > known.present:
            raise BaselineError(
                f"statistics.json: {known.name!r}: its distribution holds more values than "
                f"`num_present` {known.present}: write the file again from the training data"
            )
        self.tallies = base_tallies(known, rows, tally.TEXT)
        self.counts: dict[str, int] = {}
        self.numbers: dict[float, int] = {}
        for text, count in listed.items():
            if count:
                self._add(read_text(text), count)

    @property
    def present(self) -> int:
        """Rows with a value."""
        return int(self.tallies[list(_TYPES)].sum())

    def _add(self, cell: Cell, count: int) -> None:
        self.tallies[tally.TEXT] -= count
        if cell.is_missing:
            # An empty text is a missing value here.
            self.tallies[tally.MISSING] += count
            return
        self.tallies[tally.INTEGRAL + cell.kind] += count
        word = _word_of(cell)
        if word is None:
            self.tallies[tally.NON_FINITE] += count
            return
        self.counts[word] = self.counts.get(word, 0) + count
        if not cell.word:
            self.numbers[cell.number] = self.numbers.get(cell.number, 0) + count


def _word_of(cell: Cell) -> str | None:
    """Return the text a value is counted under; None for an empty one or an infinity."""
    if cell.word:
        return canonical_word(cell.word)
    return number_word(cell.number) if np.isfinite(cell.number) else None


def _allowed(domain: tuple[str, ...]) -> set[str]:
    words = (_word_of(read_text(text)) for text in domain)
    return {word for word in words if word is not None}


def count_named(
    known: FeatureStatistics,
    counts: Mapping[str, int],
    tallies: NDArray[np.int64],
    *,
    role: Role,
    kind: Kind,
    categories: tuple[str, ...] | None = None,
) -> RecoveredFeature:
    """Count texts in their categories.

    Parameters
    ----------
    known : FeatureStatistics
        The column.
    counts : mapping of str to int
        How often each text occurs, as far as they are listed.
    tallies : ndarray of int64, shape (9,)
        The column's; the values that are in no category are set here.
    role, kind : str
        Of the column.
    categories : tuple of str, optional
        Sorted; by default the heaviest texts.
    """
    if categories is None:
        heaviest = sorted(counts, key=lambda word: (-counts[word], word))[:MOST_CATEGORIES]
        categories = tuple(sorted(heaviest))
    spec = FeatureSpec(
        name=known.name,
        role=role,
        kind=kind,
        inferred_type=TYPES.get(known.inferred_type, "String"),
        categories=categories,
    )
    inside = np.array([counts.get(word, 0) for word in categories], dtype=np.int64)
    present = tallies[list(_TYPES)].sum()
    tallies[tally.UNSEEN] = present - tallies[tally.NON_FINITE] - inside.sum()
    unseen = {word: counts[word] for word in counts.keys() - set(categories)}
    return RecoveredFeature(
        spec=spec, counts=inside, tallies=tallies, unseen=smallest(unseen) if unseen else {}
    )


def _words_as_numbers(
    known: FeatureStatistics, listed: _Listed, *, role: Role, kind: Kind
) -> RecoveredFeature:
    """Count the numbers among texts, as the user wants."""
    if not listed.numbers:
        raise BaselineError(
            f"column {known.name!r} is set to {kind} but statistics.json lists no number among "
            "its values: leave its kind out, or set it to categorical"
        )
    values = np.array(sorted(listed.numbers))
    counts = np.array([listed.numbers[value] for value in values.tolist()], dtype=np.int64)
    spread = Spread(values=values, counts=counts)
    n = int(counts.sum())
    sums, center = exact_sums(NumberStatistics(), spread, n)
    spec = numeric_feature(
        known.name,
        role,
        TYPES.get(known.inferred_type, "String"),
        kind,
        values=values,
        counts=counts,
        center=center,
        scale=square_root(sums[1], n << UNIT_BITS) or 1.0,
    )
    listed.tallies[tally.NEGATIVE] = int(counts[values < 0].sum())
    return RecoveredFeature(
        spec=spec,
        counts=count_in_cells(spec, spread),
        tallies=listed.tallies,
        extremes=(float(values[0]), float(values[-1])),
        sums=sums,
    )
