"""Small pictures of a value with its interval, beside what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from driftgauge.report.markup import escape
from driftgauge.report.svg import number

_WHISKER: Final = 112.0


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """A small picture of a value, its interval, the baseline's value, and what is allowed.

    ``allowed`` are the ends of the shaded part; None reaches to the end of the picture.
    """

    value: float
    interval: tuple[float, float] | None
    baseline: float | None
    allowed: tuple[float | None, float | None]
    hot: bool

    def picture(self, low: float, high: float, title: str) -> str:
        """Draw it on an axis from ``low`` to ``high``; what is beyond is drawn at the end."""

        def place(value: float) -> float:
            part = (value - low) / (high - low) if high > low else 0.5
            return 4.0 + min(1.0, max(0.0, part)) * (_WHISKER - 8.0)

        tone = " hot" if self.hot else ""
        left, right = (
            end if bound is None else place(bound)
            for bound, end in zip(self.allowed, (0.0, _WHISKER), strict=True)
        )
        parts = [
            f'<rect class="allowed" x="{number(left)}" y="1" '
            f'width="{number(max(0.0, right - left))}" height="16" rx="2"/>'
        ]
        if self.interval is not None:
            first, last = (place(bound) for bound in self.interval)
            parts.append(
                f'<path class="reach{tone}" d="M{number(first)} 5v8m0-4H{number(last)}m0-4v8"/>'
            )
        if self.baseline is not None:
            at = number(place(self.baseline))
            parts.append(f'<path class="base-mark" d="M{at} 1v16"/>')
        parts.append(f'<circle class="at{tone}" cx="{number(place(self.value))}" cy="9" r="3.4"/>')
        return (
            f'<svg class="whisker wide" viewBox="0 0 {number(_WHISKER)} 18" role="img"><title>'
            f"{escape(title)}</title>{''.join(parts)}</svg>"
        )
