"""What is kept of captured rows besides their profile: predictions for labels, and a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from driftgauge.columns import RowBatch
from driftgauge.config import MonitorConfig
from driftgauge.labels.codec import encode_predictions, encode_sampled_rows
from driftgauge.labels.predictions import Predictions, merge_predictions, predictions_of
from driftgauge.labels.sample import SampledRows, sample_of
from driftgauge.profile.spec import ProfileSpec
from driftgauge.store import MonitorStore

# The flip test of bias looks for neighbors among so many rows of a window.
_ROWS_FOR_BIAS = 1000


@dataclass(kw_only=True)
class _Grain:
    """The rows of one variant and grain: arrays of a few columns, and a sample of all columns."""

    predictions: list[Predictions] = field(default_factory=list)
    sample: SampledRows | None = None


@dataclass(kw_only=True)
class KeptRows:
    """Collects what a monitor keeps of the rows of one capture object.

    Attributes
    ----------
    has_outcomes : bool
        Whether labels are joined to predictions.
    outcome_names : tuple of str
        Columns of those predictions.
    sampled_names : tuple of str
        Columns of the sample, those that start with ``prefix`` besides.
    prefix : str
        Of columns that hold attributions; empty if none do.
    sampled_rows : int
        Most rows of a sample; 0 if none is taken.
    """

    has_outcomes: bool
    outcome_names: tuple[str, ...]
    sampled_names: tuple[str, ...]
    prefix: str
    sampled_rows: int
    _grains: dict[tuple[str, datetime], _Grain] = field(default_factory=dict)

    def add(self, variant: str, start: datetime, rows: RowBatch) -> None:
        """Add rows of one variant and grain."""
        grain = self._grains.setdefault((variant, start), _Grain())
        if self.has_outcomes:
            grain.predictions.append(predictions_of(rows, self.outcome_names))
        if self.sampled_rows:
            more = [n for n in sorted(rows.columns) if self.prefix and n.startswith(self.prefix)]
            names = tuple(dict.fromkeys((*self.sampled_names, *more)))
            sample = sample_of(rows, names, most=self.sampled_rows)
            grain.sample = sample if grain.sample is None else grain.sample + sample

    def files(
        self, store: MonitorStore, *, baseline: str, digest: str
    ) -> Iterator[tuple[str, bytes]]:
        """Return keys and bytes of the files to write; ``digest`` stands for the object."""
        for (variant, start), grain in sorted(self._grains.items(), key=lambda item: item[0]):
            if grain.predictions:
                key = store.predictions_key(
                    baseline=baseline, variant=variant, grain_start=start, digest=digest
                )
                yield key, encode_predictions(merge_predictions(grain.predictions))
            if grain.sample is not None:
                key = store.sample_key(
                    baseline=baseline, variant=variant, grain_start=start, digest=digest
                )
                yield key, encode_sampled_rows(grain.sample)


def kept_rows(config: MonitorConfig, spec: ProfileSpec) -> KeptRows:
    """Return what a monitor keeps of rows, with nothing collected yet."""
    outcomes = config.outcome_names if config.outcomes is not None else ()
    attribution = config.attribution
    captured = attribution is not None and attribution.source == "captured"
    limits = [
        *([attribution.rows] if attribution is not None else []),
        *([_ROWS_FOR_BIAS] if config.bias is not None else []),
    ]
    features = tuple(feature.name for feature in spec.features)
    return KeptRows(
        has_outcomes=config.outcomes is not None,
        outcome_names=outcomes,
        sampled_names=tuple(dict.fromkeys((*features, *outcomes))),
        prefix=attribution.prefix if attribution is not None and captured else "",
        sampled_rows=max(limits, default=0),
    )
