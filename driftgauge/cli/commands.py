"""The commands: read, call the engine, write."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from driftgauge.baseline import Baseline, build_baseline, write_baseline
from driftgauge.baseline_files import decode_files, open_baseline, recover_baseline
from driftgauge.capture.table import Table, read_table, table_format_of
from driftgauge.checks.constraints import encode_constraints, suggest_constraints
from driftgauge.cli import screen
from driftgauge.cli.outcomes import LabelledReplay, open_outcomes
from driftgauge.cli.places import TABLE_SUFFIXES, Source, find, folder
from driftgauge.cli.sources import CaptureFiles, endpoints_of, find_captures
from driftgauge.columns import Rejects, RowBatch
from driftgauge.config import DecisionSettings, FeatureSettings, MonitorConfig, json_schema
from driftgauge.config import load_monitor as load_config
from driftgauge.drift.assessment import Rules
from driftgauge.drift.verdict import Mode, WindowVerdict, encode_verdict
from driftgauge.errors import BaselineError, CaptureError
from driftgauge.profile.profile import Profile
from driftgauge.rehearsal import Rehearsal
from driftgauge.replay import (
    ProfiledWindow,
    covering_window,
    profile_by_rows,
    profile_by_time,
    profile_in_parts,
    whole_of,
)
from driftgauge.report.html import render_report
from driftgauge.report.model_monitor import encode_statistics, encode_violations
from driftgauge.report.summary import summarize
from driftgauge.report.wording import count, plural
from driftgauge.windows import DEFAULT_ANCHOR, Window, WindowGrid, format_time


def baseline(arguments: argparse.Namespace) -> int:
    """Write a baseline from training data, or from Model Monitor's two files."""
    files = (arguments.statistics, arguments.constraints)
    if (arguments.data is None) == (None in files) or (arguments.data and any(files)):
        raise BaselineError("give either --data, or both --statistics and --constraints")
    created = datetime.now(UTC).replace(microsecond=0)
    exclude = (*arguments.exclude, *([arguments.label] if arguments.label else []))
    built = (_build if arguments.data else _recover)(arguments, exclude, created)
    target = folder(arguments.out)
    written = []

    def write(name: str, data: bytes) -> None:
        target.write(name, data, content_type="application/json")
        written.append(f"{target.uri}{name}")

    write_baseline(built, write)
    spec = built.spec
    kinds = Counter(feature.kind for feature in spec.features)
    print(
        f"Baseline {spec.version}: {plural(built.profile.rows, 'row')}, "
        f"{plural(len(spec.inputs), 'input')}, {plural(len(spec.outputs), 'output')} "
        f"({', '.join(f'{count(n)} {kind}' for kind, n in sorted(kinds.items()))})"
    )
    screen.show_written(written)
    return 0


def _build(arguments: argparse.Namespace, exclude: tuple[str, ...], created: datetime) -> Baseline:
    sources = find(arguments.data, suffixes=TABLE_SUFFIXES)
    config = load_config(Path(arguments.config)) if arguments.config else None
    with screen.progress(sum(s.size for s in sources), "Reading training data") as advance:
        tables = _tables(sources, arguments.header, advance)
        first = next(tables, None)
        known = first.columns if first else ()
        label = config.label if config and config.label in known else None
        return build_baseline(
            chain([first] if first else [], tables),
            version=f"{created:%Y%m%dT%H%M%SZ}",
            outputs=arguments.outputs or _declared(config, known),
            exclude=(*exclude, label) if label and label not in exclude else exclude,
            overrides=config.features if config else None,
            label=arguments.label or label,
            created=created,
        )


def _recover(
    arguments: argparse.Namespace, exclude: tuple[str, ...], created: datetime
) -> Baseline:
    return recover_baseline(
        decode_files(
            statistics=_read_one(arguments.statistics), constraints=_read_one(arguments.constraints)
        ),
        outputs=arguments.outputs,
        exclude=exclude,
        created=created,
    )


def _read_one(path: str) -> bytes:
    found = find([path], suffixes=(".json",))
    if len(found) > 1:
        raise BaselineError(f"{path} holds several files: name the one that is meant")
    return found[0].objects.read(found[0].key)


def _declared(config: MonitorConfig | None, columns: Collection[str]) -> tuple[str, ...]:
    """Return the outputs that a monitor names, as far as the training data has them."""
    if config is None:
        return ()
    declared = config.capture.outputs or ((config.prediction,) if config.prediction else ())
    return tuple(name for name in declared if name in columns)


def _tables(
    sources: Sequence[Source], header: bool | None, advance: Callable[[int], None]
) -> Iterator[Table]:
    for source in sources:
        form = table_format_of(source.key)
        opened = source.open_seekable if form == "parquet" else source.open
        with opened(advance) as stream:
            yield from read_table(stream, source=source.name, format=form, header=header)


def analyze(arguments: argparse.Namespace) -> int:
    """Judge captured data as one window and write the report."""
    captures = _open_captures(arguments)
    grid = captures.config.grid if captures.config else None
    with screen.progress(captures.size, "Reading captures") as advance:
        batches = captures.batches(advance, captures.rejects)
        parts = profile_in_parts(batches, spec=captures.baseline.spec, grid=grid)
    profile = whole_of(parts, captures.baseline.spec)
    screen.report_rejects(captures.rejects, rows=profile.rows)
    if not profile.rows:
        raise CaptureError("the captures hold no row that could be read: there is nothing to judge")
    profile = replace(profile, rejected=dict(captures.rejects.counts))
    rehearsal = captures.rehearse(parts[0].window.end - parts[0].window.start)
    history = [rehearsal.judge(part) for part in parts]
    verdict = rehearsal.judge_together(profile, covering_window(profile))
    report = render_report(
        verdict=verdict,
        baseline=captures.baseline,
        profile=profile,
        history=history,
        generated_at=datetime.now(UTC),
        decision=captures.decision,
    )
    target = folder(arguments.out)
    files = {
        "statistics.json": encode_statistics(profile),
        "constraints.json": encode_constraints(suggest_constraints(profile)),
        "constraint_violations.json": encode_violations(verdict.violations),
        "verdicts.json": encode_verdict(verdict),
        "report.html": report.encode("utf-8"),
    }
    for name, data in files.items():
        kind = "text/html; charset=utf-8" if name.endswith(".html") else "application/json"
        target.write(name, data, content_type=kind)
    summary = summarize(verdict)
    screen.show_verdict(summary)
    screen.show_written([f"{target.uri}{name}" for name in files])
    captures.files.postprocess()
    return 1 if verdict.alarm else 0


def replay(arguments: argparse.Namespace) -> int:
    """Judge captured data window by window and print what a monitor would have done."""
    captures = _open_captures(arguments)
    config = captures.config
    length: timedelta | int = arguments.window or (config.window if config else timedelta(days=1))
    outcomes = open_outcomes(
        arguments,
        config=config,
        spec=captures.baseline.spec,
        length=length,
        anchor=captures.anchor,
    )
    table = None if arguments.json else screen.ReplayTable(length, rules=captures.rules)
    rehearsal = captures.rehearse(length if isinstance(length, timedelta) else None)
    rows = 0
    windows = _windows(captures, length, printing=arguments.json, outcomes=outcomes)
    for part in screen.judging(windows, printing=arguments.json):
        rows += part.profile.rows
        verdict = rehearsal.judge(part)
        if table is None:
            document = replayed(verdict, complete=part.complete)
            if outcomes is not None:
                document["outcomes"] = outcomes.document(part.window)
            print(json.dumps(document))
        else:
            table.add(verdict, complete=part.complete)
    screen.report_rejects(captures.rejects, rows=rows)
    if not rows:
        raise CaptureError("the captures hold no row that could be read: there is nothing to judge")
    if table is not None:
        table.show()
        if outcomes is not None:
            outcomes.show()
    return 0


def _windows(
    captures: _Captures,
    length: timedelta | int,
    *,
    printing: bool,
    outcomes: LabelledReplay | None,
) -> Iterable[ProfiledWindow]:
    spec = captures.baseline.spec
    if isinstance(length, timedelta):
        with screen.progress(captures.size, "Reading captures") as advance:
            batches = captures.batches(advance, captures.rejects)
            if outcomes is not None:
                batches = outcomes.passing(batches)
            found = profile_by_time(batches, spec=spec, grid=WindowGrid(length, captures.anchor))
        if outcomes is not None:
            outcomes.watch()
        return found
    return _row_windows(captures, length, printing=printing)


def _row_windows(captures: _Captures, length: int, *, printing: bool) -> Iterator[ProfiledWindow]:
    # The first reading only puts times in order; what it rejects is rejected again by the second.
    readings = iter((Rejects(), captures.rejects))
    label = "Reading captures twice"
    with screen.progress(2 * captures.size, label, printing=printing) as advance:
        yield from profile_by_rows(
            lambda: captures.batches(advance, next(readings)),
            spec=captures.baseline.spec,
            rows=length,
        )


def replayed(verdict: WindowVerdict, *, complete: bool) -> dict[str, Any]:
    """Return what ``replay --json`` prints about a window."""
    document: dict[str, Any] = msgspec.to_builtins(verdict)
    for name in ("window_start", "window_end", "evaluated_at"):
        document[name] = format_time(getattr(verdict, name))
    return {**document, "complete": complete, "alarm": verdict.alarm}


def schema(arguments: argparse.Namespace) -> int:
    """Print the JSON Schema of a monitor file."""
    del arguments
    print(json_schema(), end="")
    return 0


@dataclass(frozen=True, kw_only=True)
class _Captures:
    """Captured files, and what they are compared with."""

    files: CaptureFiles
    baseline: Baseline
    config: MonitorConfig | None
    monitor: str
    variant: str
    mode: Mode
    rejects: Rejects

    @property
    def size(self) -> int:
        """Bytes of all files, as stored."""
        return sum(source.size for source in self.files.sources)

    @property
    def anchor(self) -> datetime:
        """A moment at which a window starts."""
        return self.config.window_anchor if self.config else DEFAULT_ANCHOR

    @property
    def decision(self) -> DecisionSettings:
        """The limits that apply."""
        return self.config.decision if self.config else DecisionSettings()

    @property
    def features(self) -> dict[str, FeatureSettings]:
        """The overrides that apply."""
        spec = self.baseline.spec
        names = [feature.name for feature in spec.features]
        return self.config.column_settings(names, outputs=spec.outputs) if self.config else {}

    def batches(self, advance: Callable[[int], None], rejects: Rejects) -> Iterator[RowBatch]:
        """Read all rows."""
        return self.files.batches(self.baseline.spec, advance=advance, rejects=rejects)

    @property
    def rules(self) -> Rules:
        """How windows are judged."""
        return Rules(
            decision=self.decision,
            features=self.features,
            references=self.config.references if self.config else (),
            mode=self.mode,
        )

    def rehearse(self, length: timedelta | None) -> Rehearsal:
        """Return what judges the windows in time order; no length: windows of rows."""

        def find_variant(variant: str) -> dict[Window, Profile]:
            if self.files.variant is None or length is None:
                screen.note(
                    f"variant {variant} is no reference without --variant and a time window"
                )
                return {}
            other = replace(self.files, variant=variant)
            batches = other.batches(self.baseline.spec, advance=lambda _: None, rejects=Rejects())
            grid = WindowGrid(length, self.anchor)
            parts = profile_by_time(batches, spec=self.baseline.spec, grid=grid)
            return {part.window: part.profile for part in parts}

        return Rehearsal(
            baseline=self.baseline,
            rules=self.rules,
            monitor=self.monitor,
            variant=self.variant,
            length=length,
            find_variant=find_variant,
        )


def _open_captures(arguments: argparse.Namespace) -> _Captures:
    config = load_config(Path(arguments.config)) if arguments.config else None
    stored = open_baseline(
        folder(arguments.baseline).read,
        outputs=arguments.outputs,
        config=config,
        created=datetime.now(UTC).replace(microsecond=0),
    )
    sources = find_captures(arguments.capture, config)
    endpoint, variant = _endpoint_of(sources)
    if config is not None and config.capture.format == "predictions":
        variant = ", ".join(config.endpoint.variants)
    return _Captures(
        files=CaptureFiles(
            sources=sources,
            config=config,
            config_path=Path(arguments.config) if arguments.config else None,
            variant=arguments.variant,
        ),
        baseline=stored,
        config=config,
        monitor=config.name if config else endpoint,
        variant=arguments.variant or variant,
        mode=arguments.mode or (config.mode if config else "sound"),
        rejects=Rejects(),
    )


def _endpoint_of(sources: list[Source]) -> tuple[str, str]:
    """Return endpoint and variant that the keys name; words that say so if they do not."""
    found = endpoints_of(sources)
    if not found:
        return "local captures", "all"
    endpoints = sorted({endpoint for endpoint, _ in found})
    variants = sorted({variant for _, variant in found})
    if len(found) > 1:
        screen.note(
            f"captures of {' and '.join(endpoints)}, {' and '.join(variants)} are judged "
            "together: give the folder of one variant to judge it alone"
        )
    return ", ".join(endpoints), ", ".join(variants)
