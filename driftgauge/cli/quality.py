"""The command ``quality``: predictions beside their labels, measured and judged."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from driftgauge.capture.table import read_table, table_format_of
from driftgauge.cli import screen
from driftgauge.cli.places import TABLE_SUFFIXES, find, folder
from driftgauge.columns import Column
from driftgauge.errors import QualityError
from driftgauge.quality.counts import OutcomeCounts, count_outcomes, sum_counts
from driftgauge.quality.decision import judge_quality, judge_quality_strictly
from driftgauge.quality.estimation import Estimator, fit_estimator
from driftgauge.quality.files import (
    QualityConstraints,
    decode_quality_constraints,
    encode_quality_constraints,
    encode_quality_statistics,
    encode_quality_violations,
    suggest_quality_constraints,
)
from driftgauge.quality.metrics import measure
from driftgauge.quality.settings import QualitySettings
from driftgauge.quality.spec import specify_outcomes
from driftgauge.quality.tables import OutcomeColumns, outcomes_of_table, with_classes
from driftgauge.quality.verdict import MetricVerdict, QualityVerdict, encode_quality_verdict
from driftgauge.report.markup import shorten
from driftgauge.report.wording import DASH, p_value, plural, share

_WORDS = {
    "ok": "ok",
    "decay": "decay",
    "insufficient_data": "insufficient data",
    "labels_immature": "labels immature",
    "concept_drift": "concept drift",
}
_STYLES = {"ok": "green", "decay": "bold red", "concept_drift": "bold red"}

_Rows = list[Mapping[str, Column]]


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """The counts of the data and what they are judged by."""

    counts: OutcomeCounts
    baseline: OutcomeCounts | None
    constraints: QualityConstraints | None


def quality(arguments: argparse.Namespace) -> int:
    """Measure quality, judge it if there is a baseline, and write Model Monitor's files."""
    if arguments.baseline and arguments.constraints:
        raise QualityError("give either --baseline or --constraints")
    measured = _measure(arguments)
    counts = measured.counts
    if not counts.rows:
        raise QualityError(
            f"no row can be used of {plural(counts.unusable, 'row')}: is --problem right, and are "
            "the classes those of the labels?"
        )
    if not counts.labelled:
        raise QualityError(f"none of {plural(counts.rows, 'row')} has a label")
    metrics = measure(counts)
    verdict = _judged(arguments, measured)
    written = {
        "statistics.json": encode_quality_statistics(counts),
        "constraints.json": encode_quality_constraints(
            suggest_quality_constraints(counts.spec.problem, metrics)
        ),
    }
    if verdict is None:
        screen.console().print(
            _table([(name, m.value, None, None, None, "") for name, m in metrics.items()])
        )
    else:
        written["constraint_violations.json"] = encode_quality_violations(verdict.violations)
        written["quality.json"] = encode_quality_verdict(verdict)
        _show(verdict)
    target = folder(arguments.out)
    for name, data in written.items():
        target.write(name, data, content_type="application/json")
    screen.show_written([f"{target.uri}{name}" for name in written])
    found = verdict is not None and (verdict.verdict == "decay" or verdict.concept_drift)
    return 1 if found else 0


def _measure(arguments: argparse.Namespace) -> _Measured:
    columns = OutcomeColumns(
        problem=arguments.problem,
        label=arguments.label,
        prediction=arguments.prediction,
        probabilities=arguments.probability,
        classes=arguments.classes,
        threshold=arguments.threshold,
        segments=arguments.segment,
    )
    data = _read(arguments.data, arguments.header, columns)
    reference = _read(arguments.baseline, arguments.header, columns) if arguments.baseline else []
    columns = with_classes(columns, [*reference, *data])
    here = [outcomes_of_table(columns, rows) for rows in data]
    there = [outcomes_of_table(columns, rows) for rows in reference]
    first, *more = there or here
    spec = specify_outcomes(first, *more)
    constraints = None
    if arguments.constraints:
        sources = find([arguments.constraints], suffixes=(".json",))
        if len(sources) > 1:
            raise QualityError(f"{arguments.constraints} holds several files: name one")
        constraints = decode_quality_constraints(sources[0].objects.read(sources[0].key))
    return _Measured(
        counts=sum_counts(spec, (count_outcomes(spec, part) for part in here)),
        baseline=sum_counts(spec, (count_outcomes(spec, part) for part in there))
        if there
        else None,
        constraints=constraints,
    )


def _read(paths: Sequence[str], header: bool | None, columns: OutcomeColumns) -> _Rows:
    """Read the columns that matter."""
    wanted = {*columns.names, *columns.segments}
    sources = find(paths, suffixes=TABLE_SUFFIXES)
    rows: _Rows = []
    with screen.progress(sum(source.size for source in sources), "Reading outcomes") as advance:
        for source in sources:
            form = table_format_of(source.key)
            opened = source.open_seekable if form == "parquet" else source.open
            with opened(advance) as stream:
                for part in read_table(stream, source=source.name, format=form, header=header):
                    rows.append({n: c for n, c in part.columns.items() if n in wanted})
    if not rows:
        raise QualityError(f"{', '.join(paths)}: no rows")
    missing = wanted - set().union(*rows)
    if missing:
        raise QualityError(f"{', '.join(paths)}: no column {', '.join(sorted(missing))}")
    return rows


def _judged(arguments: argparse.Namespace, measured: _Measured) -> QualityVerdict | None:
    baseline = measured.baseline or measured.constraints
    if baseline is None:
        return None
    if arguments.mode == "strict":
        limits = measured.constraints or suggest_quality_constraints(
            measured.counts.spec.problem, measure(measured.baseline or measured.counts)
        )
        return judge_quality_strictly(measured.counts, limits)
    settings = QualitySettings(
        alpha=arguments.alpha,
        tolerance=arguments.tolerance,
        relative_tolerance=arguments.relative_tolerance,
        design_effect=arguments.design_effect,
    )
    return judge_quality(
        measured.counts, baseline, settings=settings, estimator=_estimator(measured.baseline)
    )


def _estimator(baseline: OutcomeCounts | None) -> Estimator | None:
    if baseline is None or not baseline.labelled:
        return None
    if baseline.spec.problem != "regression" and not baseline.has_scores:
        return None
    return fit_estimator(baseline)


_Line = tuple[str, float | None, MetricVerdict | None, float | None, float | None, str]


def _show(verdict: QualityVerdict) -> None:
    out = screen.console()
    lines: list[_Line] = [
        (m.name, m.value, m, m.baseline, m.adjusted_p_value, m.verdict) for m in verdict.metrics
    ]
    out.print(_table(lines))
    for segment in verdict.segments:
        for m in segment.metrics:
            if m.verdict == "decay":
                where = f"{shorten(segment.column, 30)} = {shorten(segment.category, 30)}"
                text = f"{where}: {m.name} {_number(m.value)}, baseline {_number(m.baseline)}"
                out.print(Text(text, style=_STYLES["decay"]))
    out.print(*_gap_lines(verdict), sep="\n", end="\n" if verdict.gaps else "")
    labels = f"{plural(verdict.labelled, 'label')} for {plural(verdict.rows, 'row')}"
    unusable = f", {plural(verdict.unusable, 'row')} unusable" if verdict.unusable else ""
    text = f"{_WORDS[verdict.verdict].capitalize()}. {verdict.reason} {labels} "
    text += f"({share(verdict.coverage)}){unusable}."
    out.print(Text(text, style=_STYLES.get(verdict.verdict, "dim")), soft_wrap=True)


def _gap_lines(verdict: QualityVerdict) -> Iterator[Text]:
    for gap in verdict.gaps:
        if gap.gap is not None:
            text = f"{gap.name}: labels show {_number(gap.realised)}, the estimate without labels "
            text += f"is {_number(gap.estimated)}: {_WORDS[gap.verdict]}"
            yield Text(text, style=_STYLES.get(gap.verdict, "dim"))


def _table(lines: Sequence[_Line]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Measure", no_wrap=True)
    judged = any(line[2] is not None for line in lines)
    names = ("Value", "95% interval", "Baseline", "p") if judged else ("Value",)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    if judged:
        table.add_column("Verdict", no_wrap=True)
    for name, value, metric, baseline, p, outcome in lines:
        if metric is None:
            table.add_row(name, _number(value))
            continue
        interval = f"{_number(metric.low)} to {_number(metric.high)}"
        word = Text(_WORDS[outcome], style=_STYLES.get(outcome, "dim"))
        table.add_row(name, _number(value), interval, _number(baseline), p_value(p), word)
    return table


def _number(value: float | None) -> str:
    return DASH if value is None or value != value else f"{value:.4g}"
