"""When a change of quality is worth an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Measures without an upper bound, or on a scale of their own: tolerated in relative terms.
_RELATIVE = frozenset(
    {"mae", "mse", "rmse", "brier_score", "log_loss", "expected_calibration_error"}
)


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """How counts become verdicts.

    Attributes
    ----------
    alpha : float
        Chance of any false alarm in one window.
    tolerance : float
        Smallest change of a rate that is worth an alarm, absolute.
    relative_tolerance : float
        The same for errors, as a share of the baseline's.
    tolerances : mapping of str to float
        Absolute tolerances of single measures; they win.
    min_rows : int
        Below this many labelled rows nothing is judged.
    design_effect : float
        How many times larger variances are than independent rows would give.
    usual_coverage : float or None
        The share of rows that usually have a label at this age; None: not known.
    coverage_slack : float
        Labels are immature below this share of the usual coverage.
    min_coverage : float or None
        Labels are immature below this share of the rows as well.
    primary : str or None
        The measure that matters most: it gets half of ``alpha``, the others share the rest. None:
        accuracy, or mae of a regression.
    """

    alpha: float = 0.01
    tolerance: float = 0.02
    relative_tolerance: float = 0.05
    tolerances: Mapping[str, float] = field(default_factory=dict)
    min_rows: int = 50
    design_effect: float = 1.0
    usual_coverage: float | None = None
    coverage_slack: float = 0.9
    min_coverage: float | None = None
    primary: str | None = None

    def tolerance_of(self, name: str, baseline: float) -> float:
        """Return the absolute tolerance of a measure.

        Examples
        --------
        >>> settings = QualitySettings()
        >>> settings.tolerance_of("recall", 0.8), settings.tolerance_of("rmse", 10.0)
        (0.02, 0.5)
        """
        if name in self.tolerances:
            return self.tolerances[name]
        if name in _RELATIVE:
            return self.relative_tolerance * abs(baseline)
        return self.tolerance
