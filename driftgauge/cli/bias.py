"""The command ``bias``: facets of labels and predictions, measured and compared."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping

import numpy as np
from pydantic import ValidationError
from rich import box
from rich.table import Table
from rich.text import Text

from driftgauge.capture.settings import SelectionSettings, is_index
from driftgauge.capture.table import read_table, table_format_of
from driftgauge.checks.clarify_analysis import ClarifyAnalysis, decode_analysis, encode_analysis
from driftgauge.cli import screen
from driftgauge.cli.places import CAPTURE_SUFFIXES, TABLE_SUFFIXES, find, folder
from driftgauge.columns import Column, Rejects
from driftgauge.errors import FairnessError
from driftgauge.fairness.counts import BiasCounts, count_bias
from driftgauge.fairness.decision import BiasSettings, Flips, judge_bias, judge_bias_strictly
from driftgauge.fairness.files import analysis_of, encode_bias_violations
from driftgauge.fairness.flips import FlipTest, flip_test_of_columns
from driftgauge.fairness.rows import MergedReader, RowSample
from driftgauge.fairness.spec import UNKNOWN, BiasSpec, Criterion, FacetSpec, Marks
from driftgauge.fairness.verdict import BiasVerdict, FacetVerdict, Value, encode_bias_verdict
from driftgauge.report.markup import shorten
from driftgauge.report.wording import DASH, plural

_FACET = re.compile(r"(.+?)(=|>)(.+)", re.DOTALL)
_STAGES = {"pre_training": "labels", "post_training": "predictions"}
_WORDS = {"ok": "ok", "drift": "more biased", "insufficient_data": "insufficient data"}
_STYLES = {"ok": "green", "drift": "bold red", "insufficient_data": "dim"}


def bias(arguments: argparse.Namespace) -> int:
    """Measure bias, judge it if there is a baseline, and write Clarify's files."""
    spec = _spec_of(arguments)
    outcome = _Outcome(arguments, spec)
    baseline = _baseline_of(arguments.baseline)
    counts = BiasCounts.empty(spec)
    sample = RowSample()
    for columns in _read(arguments):
        counts = counts + outcome.count(columns)
        if outcome.predicts:
            sample.add(columns)
    if not any(facet.groups for facet in counts.facets):
        raise FairnessError(f"none of {plural(counts.rows, 'row')} has a value of a facet")
    flips = _flip_tests(outcome, sample) if outcome.predicts else ()
    analysis = analysis_of(counts, flips=flips)
    written = {"analysis.json": encode_analysis(analysis)}
    verdict = _judged(arguments, counts, baseline, flips)
    if verdict is None:
        _show_analysis(analysis)
    else:
        written["constraint_violations.json"] = encode_bias_violations(verdict.violations)
        written["bias.json"] = encode_bias_verdict(verdict)
        _show(verdict)
    target = folder(arguments.out)
    for name, data in written.items():
        target.write(name, data, content_type="application/json")
    screen.show_written([f"{target.uri}{name}" for name in written])
    return 1 if verdict is not None and verdict.verdict == "drift" else 0


def criterion_of(text: str) -> Criterion:
    """Read ``VALUE,...`` or ``>T``.

    Raises
    ------
    FairnessError
        If the threshold is no number.

    Examples
    --------
    >>> criterion_of(">40").threshold, criterion_of("a, b").values
    (40.0, ('a', 'b'))
    """
    if not text.startswith(">"):
        return Criterion(values=tuple(v.strip() for v in text.split(",") if v.strip()))
    try:
        return Criterion(threshold=float(text[1:]))
    except ValueError:
        raise FairnessError(f"{text[1:]!r} is not a threshold: write a number") from None


def facet_of(text: str) -> FacetSpec:
    """Read ``NAME=VALUE,...`` or ``NAME>T``.

    Raises
    ------
    FairnessError
        If it is neither.

    Examples
    --------
    >>> facet_of("age>40").sensitive.threshold, facet_of("sex=0").column
    (40.0, 'sex')
    """
    found = _FACET.fullmatch(text)
    if found is None:
        raise FairnessError(f"the facet {text!r} is neither NAME=VALUE,... nor NAME>THRESHOLD")
    rest = found[3] if found[2] == "=" else f">{found[3]}"
    return FacetSpec(column=found[1].strip(), sensitive=criterion_of(rest))


class _Outcome:
    """Where a table has its labels and predictions."""

    def __init__(self, arguments: argparse.Namespace, spec: BiasSpec) -> None:
        if arguments.prediction and arguments.probability:
            raise FairnessError("give either --prediction or --probability")
        named = arguments.prediction or arguments.probability
        if arguments.merged and named is None:
            raise FairnessError("merged records need --prediction or --probability")
        self.spec = spec
        self.predicts = named is not None
        self._by_score = arguments.prediction is None
        self._threshold: float = arguments.threshold
        self._prediction = _name_of(named) if arguments.merged and named else named

    @property
    def names(self) -> set[str]:
        return {self.spec.label, *([self._prediction] if self._prediction else [])}

    def predictions(self, columns: Mapping[str, Column]) -> Marks | None:
        if self._prediction is None:
            return None
        column = _column(columns, self._prediction)
        if not self._by_score:
            return self.spec.positive.marks(column)
        known = np.isfinite(column.numbers)
        return np.where(known, column.numbers > self._threshold, UNKNOWN).astype(np.int8)

    def count(self, columns: Mapping[str, Column]) -> BiasCounts:
        label = _column(columns, self.spec.label)
        if self.spec.group is not None:
            _column(columns, self.spec.group)
        return count_bias(
            self.spec,
            columns=columns,
            labels=self.spec.positive.marks(label),
            predictions=self.predictions(columns),
            maximum=self.spec.positive.maximum(label),
        )


def _spec_of(arguments: argparse.Namespace) -> BiasSpec:
    return BiasSpec(
        label=arguments.label,
        positive=criterion_of(arguments.positive),
        facets=tuple(map(facet_of, arguments.facet)),
        group=arguments.group,
    )


def _baseline_of(path: str | None) -> ClarifyAnalysis | None:
    if path is None:
        return None
    sources = find([path], suffixes=("analysis.json",))
    if len(sources) > 1:
        raise FairnessError(f"{path} holds several files: name one")
    return decode_analysis(sources[0].objects.read(sources[0].key))


def _column(columns: Mapping[str, Column], name: str) -> Column:
    if name not in columns:
        known = ", ".join(map(repr, list(columns)[:20]))
        raise FairnessError(f"the data has no column {name!r}; it has {known}")
    return columns[name]


def _name_of(attribute: str) -> str:
    """Return the column that a selected attribute of merged records becomes."""
    if is_index(attribute):
        return f"_c{int(attribute)}"
    return attribute.rsplit(".", 1)[-1].strip('"')


def _read(arguments: argparse.Namespace) -> Iterator[Mapping[str, Column]]:
    suffixes = CAPTURE_SUFFIXES if arguments.merged else TABLE_SUFFIXES
    sources = find(arguments.data, suffixes=suffixes)
    reader = _merged_reader(arguments) if arguments.merged else None
    rejects = Rejects()
    rows = 0
    with screen.progress(sum(source.size for source in sources), "Reading rows") as advance:
        for source in sources:
            form = table_format_of(source.key) if reader is None else "jsonl"
            opened = source.open_seekable if form == "parquet" else source.open
            with opened(advance) as stream:
                parts: Iterator[Mapping[str, Column]]
                if reader is not None:
                    parts = reader.read(stream, source=source.name, rejects=rejects)
                else:
                    tables = read_table(
                        stream,
                        source=source.name,
                        format=form,
                        header=arguments.header,
                        names=arguments.columns or None,
                    )
                    parts = (table.columns for table in tables)
                for columns in parts:
                    rows += next((column.rows for column in columns.values()), 0)
                    yield columns
    screen.report_rejects(rejects, rows=rows)


def _merged_reader(arguments: argparse.Namespace) -> MergedReader:
    try:
        selection = SelectionSettings(
            features=arguments.features,
            inference=arguments.prediction,
            probability=arguments.probability,
            threshold=arguments.threshold,
        )
        return MergedReader(
            selection,
            label=arguments.label,
            truth=arguments.ground_truth,
            columns=arguments.columns,
        )
    except ValidationError as error:
        raise FairnessError("; ".join(item["msg"] for item in error.errors())) from None


def _flip_tests(outcome: _Outcome, sample: RowSample) -> Flips:
    columns = sample.columns()
    predictions = outcome.predictions(columns)
    found: list[FlipTest | str | None] = []
    for facet in outcome.spec.facets:
        features = {
            name: column
            for name, column in columns.items()
            if name not in outcome.names and name != facet.column
        }
        try:
            found.append(
                flip_test_of_columns(
                    features,
                    sensitive=facet.sensitive.marks(columns[facet.column]),
                    predictions=predictions
                    if predictions is not None
                    else np.empty(0, dtype=np.int8),
                )
            )
        except FairnessError as error:
            found.append(str(error).capitalize())
    return found


def _judged(
    arguments: argparse.Namespace,
    counts: BiasCounts,
    baseline: ClarifyAnalysis | None,
    flips: Flips,
) -> BiasVerdict | None:
    if baseline is None:
        return None
    if arguments.mode == "strict":
        return judge_bias_strictly(counts, baseline, flips=flips)
    settings = BiasSettings(
        alpha=arguments.alpha,
        tolerance=arguments.tolerance,
        ratio_tolerance=arguments.ratio_tolerance,
        min_rows=arguments.min_rows,
    )
    return judge_bias(counts, baseline, settings=settings, flips=flips)


def _show_analysis(analysis: ClarifyAnalysis) -> None:
    out = screen.console()
    for stage in (analysis.pre_training, analysis.post_training):
        words = "labels" if stage is analysis.pre_training else "predictions"
        for facet in stage.facets if stage is not None else ():
            title = f"{shorten(facet.name, 40)} {shorten(facet.value_or_threshold, 40)}"
            table = _table(f"{title}, {words}", ("Value",))
            for metric in facet.metrics:
                table.add_row(metric.description, _text(metric.value))
            out.print(table)


def _show(verdict: BiasVerdict) -> None:
    out = screen.console()
    for facet in verdict.facets:
        out.print(_facet_table(facet, sound=verdict.mode == "sound"))
    text = f"{_WORDS[verdict.verdict].capitalize()}. {verdict.reason}"
    out.print(Text(text, style=_STYLES[verdict.verdict]), soft_wrap=True)


def _facet_table(facet: FacetVerdict, *, sound: bool) -> Table:
    title = f"{shorten(facet.facet, 40)} {shorten(facet.facet_value, 40)}"
    rows = f"{plural(facet.rows_d, 'row')} against {plural(facet.rows_a, 'row')}"
    evidence = ("Interval", "Allowed") if sound else ()
    table = _table(
        f"{title}, {_STAGES[facet.stage]}: {rows}", ("Value", *evidence, "Baseline", "Rows")
    )
    table.add_column("Verdict", no_wrap=True)
    for m in facet.metrics:
        spans = (_span(m.low, m.high), _span(m.allowed_low, m.allowed_high)) if sound else ()
        table.add_row(
            m.name,
            _text(m.value),
            *spans,
            _text(m.baseline),
            str(m.rows),
            Text(_WORDS[m.verdict], style=_STYLES[m.verdict]),
        )
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column("Metric", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _span(low: float | None, high: float | None) -> str:
    return DASH if low is None and high is None else f"{_text(low)} to {_text(high)}"


def _text(value: Value) -> str:
    if value is None or isinstance(value, str):
        return DASH if value is None else value.lower()
    return f"{value:.4g}"
