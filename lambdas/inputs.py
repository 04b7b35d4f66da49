"""What a window's report is made from: which stored objects there are, and which were used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from driftgauge.config import MonitorConfig
from driftgauge.errors import ObjectNotFoundError
from driftgauge.store import Current, MonitorStore, StoredLabels, StoredPart, StoredProfile
from driftgauge.store.keys import parse_part_key
from driftgauge.windows import Window
from lambdas.label_matching import baselines_since

# Baselines before the current one that are looked for in windows of any age: captures may arrive
# before their hour by the clock of who wrote them. Each costs a listing.
_EARLIER_BASELINES = 4


@dataclass(frozen=True, kw_only=True)
class WindowProfiles:
    """The stored profiles of one window: those to judge, and those of other baselines."""

    baseline: str
    profiles: tuple[StoredProfile, ...]
    others: dict[str, tuple[StoredProfile, ...]]
    in_force: str = ""

    @property
    def is_current(self) -> bool:
        """Whether the window is judged against the baseline that is in force."""
        return self.baseline == self.in_force

    @property
    def everything(self) -> tuple[StoredProfile, ...]:
        """All profiles of the window."""
        return (*self.profiles, *(one for some in self.others.values() for one in some))

    @property
    def digest(self) -> str:
        """A digest that changes whenever anything the verdict depends on is stored anew."""
        return _digest(self.baseline, self.everything)


@dataclass(frozen=True, kw_only=True)
class EvaluatedInputs:
    """What a window's report was made from: ``inputs.json``, written after everything else.

    Attributes
    ----------
    digest : str
        Of the profiles.
    profiles : int
        Their number.
    outcomes : str
        Digest of predictions, labels, samples and attributions; empty without any.
    explained : str
        Tag of the attributions alone.
    """

    digest: str
    profiles: int
    evaluated_at: datetime
    outcomes: str = ""
    explained: str = ""
    version: int = 1


def find_profiles(
    store: MonitorStore, current: Current, *, variant: str, window: Window
) -> WindowProfiles:
    """Find a window's profiles.

    The window is judged against the current baseline if there are profiles of it, else against
    the newest earlier one that has any.
    """
    found = {}
    for version in baselines_of_window(current, window):
        some = tuple(store.list_profiles(baseline=version, variant=variant, window=window))
        if some:
            found[version] = some
    chosen = next(iter(found), current.baseline)
    return WindowProfiles(
        baseline=chosen,
        profiles=found.pop(chosen, ()),
        others=found,
        in_force=current.baseline,
    )


def recent_baselines(current: Current) -> list[str]:
    """Return the baseline in force and those before it that windows may still belong to."""
    versions = [current.baseline]
    for promotion in reversed(current.history):
        if promotion.baseline not in versions and len(versions) <= _EARLIER_BASELINES:
            versions.append(promotion.baseline)
    return versions


def baselines_of_window(current: Current, window: Window) -> list[str]:
    """Return the baselines that a window's profiles may be of, the newest first.

    Labels make windows be evaluated again that are months old: their captures were profiled
    against what was in force when they arrived, however many promotions ago.
    """
    versions = (*recent_baselines(current), *baselines_since(current, window.start))
    return list(dict.fromkeys(versions))


@dataclass(frozen=True, kw_only=True)
class WindowFiles:
    """What is stored of one window besides its profiles, of the baseline it is judged against.

    Attributes
    ----------
    predictions : tuple of StoredPart
        By capture object, and sums of them.
    labels : tuple of StoredLabels
        Matched with predictions of the window's grains.
    samples : tuple of StoredPart
        Of rows, where bias is monitored.
    sums : StoredPart or None
        Attributions of the window.
    """

    baseline: str = ""
    predictions: tuple[StoredPart, ...] = ()
    labels: tuple[StoredLabels, ...] = ()
    samples: tuple[StoredPart, ...] = ()
    sums: StoredPart | None = None

    @property
    def everything(self) -> tuple[StoredPart | StoredLabels, ...]:
        """All files that come from elsewhere: sums of predictions are the evaluation's own."""
        sums = () if self.sums is None else (self.sums,)
        parts = (*self.predictions, *self.samples)
        return (*(one for one in parts if not one.is_merged), *self.labels, *sums)

    @property
    def digest(self) -> str:
        """A digest that changes whenever any of them is stored anew; empty without any."""
        return _digest(self.baseline, self.everything) if self.everything else ""

    @property
    def explained(self) -> str:
        """The tag of the attributions; empty without any."""
        return "" if self.sums is None else self.sums.tag


def find_files(
    store: MonitorStore,
    config: MonitorConfig,
    found: WindowProfiles,
    *,
    variant: str,
    window: Window,
) -> WindowFiles:
    """Find what is stored of a window besides its profiles, as far as the monitor uses it."""
    place = {"baseline": found.baseline, "variant": variant}
    predictions: tuple[StoredPart, ...] = ()
    labels: tuple[StoredLabels, ...] = ()
    if config.outcomes is not None:
        predictions = tuple(store.list_predictions(**place, window=window))
        labels = tuple(store.list_matched_labels(variant=variant, window=window))
    samples: tuple[StoredPart, ...] = ()
    if config.bias is not None:
        samples = tuple(store.list_samples(**place, window=window))
    return WindowFiles(
        baseline=found.baseline,
        predictions=predictions,
        labels=labels,
        samples=samples,
        sums=_find_sums(store, config, **place, window=window),
    )


def _find_sums(
    store: MonitorStore, config: MonitorConfig, *, baseline: str, variant: str, window: Window
) -> StoredPart | None:
    if config.attribution is None:
        return None
    key = store.attributions_key(baseline=baseline, variant=variant, window=window)
    info = next(iter(store.objects.list(key)), None)
    return parse_part_key(info) if info is not None and info.key == key else None


def _digest(baseline: str, parts: Iterable[StoredPart | StoredLabels]) -> str:
    lines = [baseline, *sorted(f"{one.key} {one.tag}" for one in parts)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def read_inputs(store: MonitorStore, *, variant: str, window: Window) -> EvaluatedInputs | None:
    """Return what a window's report was made from; None if it has none."""
    key = store.report_key(variant=variant, window=window, name="inputs.json")
    try:
        return msgspec.json.decode(store.objects.read(key), type=EvaluatedInputs)
    except (ObjectNotFoundError, msgspec.ValidationError):
        return None
