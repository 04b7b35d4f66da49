"""The S3 layout: every key in one place, and all reads and writes.

``Objects`` is a flat key-value space: an S3 bucket and prefix, or a local folder. Nothing else in
the engine talks to AWS, but ``aws`` to services other than S3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from posixpath import commonpath

import msgspec

from driftgauge.drift.verdict import WindowVerdict, decode_verdict
from driftgauge.errors import StoreError
from driftgauge.store.keys import (
    MERGED,
    PartKind,
    StoredLabels,
    StoredPart,
    StoredProfile,
    parse_label_key,
    parse_part_key,
    parse_profile_key,
)
from driftgauge.store.objects import LocalObjects, ObjectInfo, Objects, S3Objects
from driftgauge.windows import Window

__all__ = [
    "MERGED",
    "Current",
    "LocalObjects",
    "MonitorStore",
    "ObjectInfo",
    "Objects",
    "Promotion",
    "S3Objects",
    "StoredLabels",
    "StoredPart",
    "StoredProfile",
    "parse_label_key",
    "parse_part_key",
    "parse_profile_key",
]


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A baseline and the model it belongs to, and since when they are in force."""

    baseline: str
    model: str | None
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Current:
    """The one pointer of a monitor: which baseline judges and which model is champion.

    Baseline and model change in one conditional write, so no reader ever sees a new model with
    the old baseline. ``history`` holds earlier promotions, oldest first.
    """

    baseline: str
    model: str | None
    since: datetime
    history: tuple[Promotion, ...] = ()
    version: int = 1

    def promoted(self, *, baseline: str, model: str | None, since: datetime) -> Current:
        """Return the pointer after a promotion, with this state appended to its history."""
        before = Promotion(baseline=self.baseline, model=self.model, since=self.since)
        return replace(
            self, baseline=baseline, model=model, since=since, history=(*self.history, before)
        )


class MonitorStore:
    """Every key of one monitor, and the reads and writes behind it."""

    def __init__(self, *, objects: Objects, monitor: str) -> None:
        self.objects = objects
        self.monitor = monitor

    # The pointer

    @property
    def current_key(self) -> str:
        """Key of the pointer to baseline and champion."""
        return f"{self.monitor}/current.json"

    def read_current(self) -> tuple[Current, str]:
        """Return the pointer and its tag; ``ObjectNotFoundError`` before the first baseline."""
        data, tag = self.objects.read_tagged(self.current_key)
        try:
            return msgspec.json.decode(data, type=Current), tag
        except msgspec.ValidationError as error:
            raise StoreError(f"{self.objects.uri}{self.current_key}: {error}") from error

    def write_current(self, current: Current, *, if_tag: str | None) -> None:
        """Replace the pointer if it still has the tag; None: only if there is none yet."""
        self.objects.write(
            self.current_key,
            msgspec.json.format(msgspec.json.encode(current), indent=1),
            content_type="application/json",
            if_absent=if_tag is None,
            if_tag=if_tag,
        )

    # Baselines and models

    def baseline_key(self, version: str, name: str) -> str:
        """Key of one of a baseline's files: baseline.json, statistics.json, constraints.json."""
        return f"{self.monitor}/baseline/{version}/{name}"

    def training_data_prefix(self) -> str:
        """Prefix under which training data is dropped to become a baseline."""
        return f"{self.monitor}/training-data/"

    def model_key(self, version: str) -> str:
        """Key of a model."""
        return f"{self.monitor}/models/{version}/model.json"

    def retraining_key(self, execution: str, name: str) -> str:
        """Key of a file that one retraining execution works on."""
        return f"{self.monitor}/retraining/{execution}/{name}"

    def approval_key(self, nonce: str) -> str:
        """Key of what an approval's links stand for; from it nobody learns the links."""
        return f"{self.monitor}/approvals/{hashlib.sha256(nonce.encode()).hexdigest()}.json"

    # Profiles

    @staticmethod
    def capture_digest(*, bucket: str, key: str, tag: str) -> str:
        """Return the digest that stands for one version of a capture object."""
        text = "\n".join((bucket, key, tag.strip('"')))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def profile_key(
        self, *, baseline: str, variant: str, grain_start: datetime, digest: str
    ) -> str:
        """Key of the profile of one capture object's rows in one grain.

        A pure function of the capture object, the grain and the baseline whose cells are counted.
        """
        return f"{self._grain('profiles', baseline, variant, grain_start)}/{digest}.profile"

    def predictions_key(
        self, *, baseline: str, variant: str, grain_start: datetime, digest: str = MERGED
    ) -> str:
        """Key of the predictions of one capture object in one grain, or of the sum of several.

        A pure function of the same things as the key of the profile they lie beside.
        """
        return f"{self._grain('predictions', baseline, variant, grain_start)}/{digest}.predictions"

    def sample_key(
        self, *, baseline: str, variant: str, grain_start: datetime, digest: str = MERGED
    ) -> str:
        """Key of the sample of one capture object's rows in one grain, or of several objects'."""
        return f"{self._grain('samples', baseline, variant, grain_start)}/{digest}.sample"

    def list_profiles(
        self, *, baseline: str, variant: str, window: Window
    ) -> Iterator[StoredProfile]:
        """List the stored profiles of one window, in the order of their time."""
        return self._list_parts("profiles", baseline, variant, window)

    def list_predictions(
        self, *, baseline: str, variant: str, window: Window
    ) -> Iterator[StoredPart]:
        """List the files of predictions of one window, sums of several too, by time."""
        return self._list_parts("predictions", baseline, variant, window)

    def list_samples(self, *, baseline: str, variant: str, window: Window) -> Iterator[StoredPart]:
        """List the row samples of one window, in the order of their time."""
        return self._list_parts("samples", baseline, variant, window)

    def _grain(self, kind: PartKind, baseline: str, variant: str, moment: datetime) -> str:
        return f"{self.monitor}/{kind}/{baseline}/{variant}/{_minute(moment)}"

    def _list_parts(
        self, kind: PartKind, baseline: str, variant: str, window: Window
    ) -> Iterator[StoredPart]:
        for info in self._list_window(f"{self.monitor}/{kind}/{baseline}/{variant}/", window):
            stored = parse_part_key(info)
            if stored.grain_start >= window.end:
                return
            yield stored

    def _list_window(self, folder: str, window: Window) -> Iterator[ObjectInfo]:
        """List a folder from a window's start until the caller has enough."""
        first, end = _minute(window.start), _minute(window.end)
        # Keys are in the order of time: one listing from the window's start to its end.
        return self.objects.list(folder + commonpath([first, end]), after=folder + first)

    # Labels

    def received_labels_key(self, *, collected: datetime, digest: str) -> str:
        """Key of the labels of one ground-truth object that no prediction has claimed yet.

        ``collected`` is the hour in which the labels were collected.
        """
        moment = collected.astimezone(UTC)
        return f"{self.monitor}/labels/received/{moment:%Y/%m/%d/%H}/{digest}.labels"

    def matched_labels_key(self, *, variant: str, grain_start: datetime, digest: str) -> str:
        """Key of the labels of one ground-truth object that belong to one grain's predictions."""
        return f"{self.monitor}/labels/matched/{variant}/{_minute(grain_start)}/{digest}.labels"

    def list_received_labels(self, *, window: Window) -> Iterator[StoredLabels]:
        """List what is left of labels as they were received, by the hour of collection."""
        hour = window.start.replace(minute=0, second=0, microsecond=0)
        return self._list_labels("received", Window(hour, window.end))

    def list_matched_labels(self, *, variant: str, window: Window) -> Iterator[StoredLabels]:
        """List the labels that belong to the predictions of one window, in the order of grains."""
        return self._list_labels(f"matched/{variant}", window)

    def _list_labels(self, room: str, window: Window) -> Iterator[StoredLabels]:
        for info in self._list_window(f"{self.monitor}/labels/{room}/", window):
            stored = parse_label_key(info)
            if stored.grain_start >= window.end:
                return
            yield stored

    # What windows keep

    def rollup_key(self, *, baseline: str, variant: str, window: Window) -> str:
        """Key of the sum of one window's profiles, as far as it was evaluated.

        Windows of different lengths may share it: it holds what it is the sum of.
        """
        return f"{self.monitor}/rollups/{baseline}/{variant}/{_minute(window.start)}.rollup"

    def outcomes_key(self, *, baseline: str, variant: str, window: Window) -> str:
        """Key of the counts of one window's labelled predictions, grain by grain."""
        return f"{self.monitor}/rollups/{baseline}/{variant}/{_minute(window.start)}.outcomes"

    def sampled_key(self, *, baseline: str, variant: str, window: Window) -> str:
        """Key of the sample of all rows of one window, as far as it was looked at."""
        return f"{self.monitor}/rollups/{baseline}/{variant}/{_minute(window.start)}.sample"

    def attributions_key(self, *, baseline: str, variant: str, window: Window) -> str:
        """Key of the sums of the attributions of one window's row sample."""
        return f"{self.monitor}/attributions/{baseline}/{variant}/{_minute(window.start)}.sums"

    # Reports

    def report_key(self, *, variant: str, window: Window, name: str) -> str:
        """Key of one of a window's files: statistics.json, verdicts.json, report.html, ..."""
        moment = window.start.astimezone(UTC)
        minute = (
            f"/{moment:%M}"
            if moment.minute or window.end - window.start < timedelta(hours=1)
            else ""
        )
        return f"{self.monitor}/reports/{variant}/{moment:%Y/%m/%d/%H}{minute}/{name}"

    def read_verdict(self, *, variant: str, window: Window) -> WindowVerdict:
        """Return a window's verdict; ``ObjectNotFoundError`` if it was never evaluated."""
        return decode_verdict(
            self.objects.read(self.report_key(variant=variant, window=window, name="verdicts.json"))
        )

    # Experiments

    def experiment_key(self, experiment: str, name: str) -> str:
        """Key of one of an experiment's files: plan.json, experiment.json, report.html, ..."""
        return f"{self.monitor}/experiments/{experiment}/{name}"

    # Quarantine

    def quarantine_key(self, *, variant: str, moment: datetime, digest: str) -> str:
        """Key of the rejected samples of one capture object."""
        return f"{self.monitor}/quarantine/{variant}/{moment:%Y/%m/%d/%H}/{digest}.jsonl"

    # State of evaluation over time

    def state_key(self, variant: str) -> str:
        """Key of the evaluation state of one variant."""
        return f"{self.monitor}/state/{variant}.json"

    def evidence_key(self, *, baseline: str, variant: str) -> str:
        """Key of what the windows of one variant say together, against one baseline."""
        return f"{self.monitor}/evidence/{baseline}/{variant}.evidence"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y/%m/%d/%H/%M}"
