"""The command ``explain``: global attributions of a window, compared with the baseline's."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rich import box
from rich.table import Table
from rich.text import Text

from driftgauge.attribution.drift import AttributionSettings, judge_attribution
from driftgauge.attribution.files import (
    aggregated_explanations,
    encode_attribution_violations,
    encode_explanations,
    explanations_of,
    match_labels,
    read_baseline_explanations,
)
from driftgauge.attribution.kernel_shap import (
    KernelSettings,
    Scorer,
    explain_by_kernel,
    plan_explanation,
    sample_rows,
)
from driftgauge.attribution.linear import LinearModel
from driftgauge.attribution.model_files import Model, explain_model, model_features, read_model
from driftgauge.attribution.reference import (
    MOST_CLUSTERS,
    Reference,
    cluster_reference,
    reference_of,
)
from driftgauge.attribution.rows import FeatureRows
from driftgauge.attribution.scorers import EndpointScorer, load_scorer
from driftgauge.attribution.sums import AttributionSums, sum_attributions
from driftgauge.attribution.values import Attributions
from driftgauge.attribution.verdict import AttributionVerdict, encode_attribution_verdicts
from driftgauge.checks.clarify_analysis import Explanation
from driftgauge.cli import screen
from driftgauge.cli.explain_sources import (
    choose_features,
    prefixed_attributions,
    read_attributions,
    read_columns,
    read_data,
    rows_of,
)
from driftgauge.cli.places import find, folder
from driftgauge.errors import AttributionError
from driftgauge.report.markup import shorten
from driftgauge.report.wording import DASH, p_value, plural, share
from driftgauge.training.logistic import LogisticModel

_ROWS_BY_KERNEL = 300
_ROWS_EXACTLY = 10_000
_ROWS_OF_REFERENCE = 200
_ENDPOINT_BUDGET = 1000
_BAR = 20
_STYLES = {"ok": "green", "drift": "bold red", "insufficient_data": "dim"}

_Known = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The attributions of the data, and of the baseline if there is one."""

    window: AttributionSums
    explanations: tuple[Explanation, ...]
    baseline: AttributionSums | _Known | None


def explain(arguments: argparse.Namespace) -> int:
    """Explain rows, judge the attributions if there is a baseline, and write Clarify's files."""
    known = _analysis(arguments)
    if known is not None and arguments.agg != "mean_abs":
        raise AttributionError("analysis.json is compared by means of magnitudes: leave out --agg")
    captured = arguments.attribution_prefix or arguments.attribution_path
    found = _read(arguments, known) if captured else _explained(arguments, known)
    verdicts = _judged(arguments, found)
    written = {"analysis.json": encode_explanations(found.explanations)}
    if verdicts:
        violations = [violation for verdict in verdicts for violation in verdict.violations]
        written["constraint_violations.json"] = encode_attribution_violations(violations)
        written["attribution.json"] = encode_attribution_verdicts(verdicts)
    _show(found, verdicts)
    target = folder(arguments.out)
    for name, data in written.items():
        target.write(name, data, content_type="application/json")
    screen.show_written([f"{target.uri}{name}" for name in written])
    return 1 if any(verdict.verdict == "drift" for verdict in verdicts) else 0


def _analysis(arguments: argparse.Namespace) -> _Known | None:
    """Return the baseline's values if it is analysis.json, None if it is a table or not given."""
    if not arguments.baseline or not arguments.baseline.endswith(".json"):
        return None
    sources = find([arguments.baseline], suffixes=(".json",))
    data = sources[0].objects.read(sources[0].key)
    # A table in JSON is an array, or rows below "instances".
    if len(sources) > 1 or b'"explanations"' not in data:
        return None
    return read_baseline_explanations(data)


def _read(arguments: argparse.Namespace, known: _Known | None) -> _Found:
    if arguments.agg != "mean_abs":
        raise AttributionError("--agg is for values that are computed: leave it out")
    window = read_attributions(arguments)
    baseline: AttributionSums | _Known | None = known
    if arguments.baseline and known is None:
        if not arguments.attribution_prefix:
            raise AttributionError("with --attribution-path the baseline is an analysis.json")
        parts = read_columns([arguments.baseline], header=arguments.header)
        baseline = prefixed_attributions(arguments, parts)
    return _Found(window=window, explanations=explanations_of(window), baseline=baseline)


def _explained(arguments: argparse.Namespace, known: _Known | None) -> _Found:
    model = _model(arguments.model) if arguments.model else None
    table = arguments.baseline if known is None else None
    training = read_columns([table], header=arguments.header) if table else None
    reference = (
        read_columns([arguments.reference], header=arguments.header)
        if arguments.reference
        else training
    )
    said = model_features(model) if model is not None else None
    if arguments.capture:
        features = choose_features(arguments, said, reference)
        data = read_data(arguments, features)
    else:
        data = read_data(arguments, ())
        features = choose_features(arguments, said, reference or data)
    explainer = _Explainer(
        arguments=arguments,
        model=model,
        scorer=None if model is not None else _scorer(arguments),
        reference=None if reference is None else rows_of(reference, features),
        shared=training is not None,
    )
    there = None
    if training is not None:
        there = sum_attributions(explainer.explain(rows_of(training, features), "baseline"))
    here = explainer.explain(rows_of(data, features), "data")
    return _Found(
        window=sum_attributions(here),
        explanations=aggregated_explanations(here, arguments.agg),
        baseline=there or known,
    )


def _model(path: str) -> Model:
    sources = find([path], suffixes=("",))
    if len(sources) > 1:
        raise AttributionError(f"{path} holds several files: name the model")
    return read_model(sources[0].objects.read(sources[0].key))


def _scorer(arguments: argparse.Namespace) -> Scorer:
    if arguments.scorer:
        return load_scorer(arguments.scorer)
    return EndpointScorer(
        endpoint=arguments.endpoint,
        variant=arguments.variant,
        request=arguments.request,
        score=arguments.score,
        region=arguments.region,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Explainer:
    """Who explains: a model file exactly, or KernelSHAP with a scorer."""

    arguments: argparse.Namespace
    model: Model | None
    scorer: Scorer | None
    reference: FeatureRows | None
    shared: bool  # whether data and baseline share the budget

    def explain(self, rows: FeatureRows, what: str) -> Attributions:
        """Explain a sample of rows."""
        seed = self.arguments.seed
        limit = self.arguments.rows or (_ROWS_BY_KERNEL if self.scorer else _ROWS_EXACTLY)
        rows = sample_rows(rows, limit, seed=seed)
        labels = self.arguments.labels or None
        if self.model is not None:
            rows = _named(self.model, rows)
            with screen.counting(rows.rows, f"Explaining the {what}") as advance:
                return explain_model(
                    self.model, rows, self._model_reference(), labels=labels, progress=advance
                )
        if self.scorer is None or self.reference is None:
            raise AttributionError(
                "KernelSHAP needs reference rows, such as training data: give --reference, or a "
                "table as --baseline"
            )
        settings = self._settings()
        reference = self._centres(self.reference)
        plan = plan_explanation(
            features=len(rows.names),
            rows=rows.rows,
            reference_rows=reference.rows.rows,
            settings=settings,
        )
        screen.note(
            f"{plural(plan.rows, 'row')} of the {what} are explained with at most "
            f"{plural(plan.invocations, 'invocation')}"
        )
        with screen.counting(plan.rows, f"Explaining the {what}") as advance:
            return explain_by_kernel(
                self.scorer, rows, reference, settings=settings, labels=labels, progress=advance
            )

    def _settings(self) -> KernelSettings:
        budget = self.arguments.budget or (_ENDPOINT_BUDGET if self.arguments.endpoint else None)
        if budget is not None and self.shared:
            budget //= 2
        return KernelSettings(
            num_samples=self.arguments.samples,
            use_logit=self.arguments.use_logit,
            seed=self.arguments.seed,
            batch_rows=self.arguments.batch_rows,
            budget=budget,
        )

    def _centres(self, rows: FeatureRows) -> Reference:
        if rows.rows <= MOST_CLUSTERS:
            return reference_of(rows)
        return cluster_reference(rows, clusters=self.arguments.clusters, seed=self.arguments.seed)

    def _model_reference(self) -> Reference | None:
        if self.reference is None or self.model is None:
            return None
        if isinstance(self.model, LinearModel | LogisticModel):
            return reference_of(_named(self.model, self.reference))
        if not self.arguments.reference:
            return None  # a tree knows the training rows itself
        sample = sample_rows(self.reference, _ROWS_OF_REFERENCE, seed=self.arguments.seed)
        return reference_of(_named(self.model, sample))


def _named(model: Model, rows: FeatureRows) -> FeatureRows:
    """Give columns that --features names in the model's order the names that the model has."""
    names = model_features(model)
    if isinstance(names, tuple) and not isinstance(model, LogisticModel):
        return replace(rows, names=names)
    return rows


def _judged(arguments: argparse.Namespace, found: _Found) -> tuple[AttributionVerdict, ...]:
    baseline = found.baseline
    if baseline is None:
        return ()
    settings = AttributionSettings(alpha=arguments.alpha, min_distance=arguments.min_distance)
    known = baseline.labels if isinstance(baseline, AttributionSums) else tuple(baseline)
    return tuple(
        judge_attribution(
            baseline if isinstance(baseline, AttributionSums) else baseline[there],
            found.window,
            label=label,
            baseline_label=there,
            mode=arguments.mode,
            settings=settings,
        )
        for label, there in match_labels(known, found.window.labels).items()
    )


def _show(found: _Found, verdicts: tuple[AttributionVerdict, ...]) -> None:
    out = screen.console()
    for explanation in found.explanations:
        verdict = next((v for v in verdicts if v.label == explanation.label), None)
        out.print(_table(explanation, verdict, several=len(found.explanations) > 1))
        if explanation.expected_value is not None:
            out.print(Text(f"Expected value {explanation.expected_value:.4g}", style="dim"))
        if verdict is not None:
            out.print(Text(_sentence(verdict), style=_STYLES[verdict.verdict]), soft_wrap=True)


def _sentence(verdict: AttributionVerdict) -> str:
    words = {"ok": "Ok", "drift": "Drift", "insufficient_data": "Insufficient data"}
    text = f"{words[verdict.verdict]}. {verdict.reason}"
    if verdict.distance is not None and verdict.ndcg is not None:
        text += f" NDCG {verdict.ndcg:.3f}, distance {verdict.distance:.3f}"
        if verdict.low is not None and verdict.high is not None:
            text += f" (95% {verdict.low:.3f} to {verdict.high:.3f})"
        text += f", {plural(verdict.rows, 'explained row')}."
    return text


def _table(explanation: Explanation, verdict: AttributionVerdict | None, *, several: bool) -> Table:
    table = Table(
        title=f"Global SHAP values, {explanation.label}" if several else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column("Feature", no_wrap=True)
    table.add_column("Global SHAP", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=_BAR)
    table.add_column("Share", justify="right", no_wrap=True)
    judged = {feature.name: feature for feature in verdict.features} if verdict else {}
    if verdict:
        for name in ("Baseline", "Rank", "p"):
            table.add_column(name, justify="right", no_wrap=True)
    values = {**dict.fromkeys(judged, 0.0), **explanation.global_values}
    total, largest = sum(values.values()), max(values.values(), default=0.0)
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        cells: list[Text | str] = [
            Text(shorten(name, 40)),
            f"{value:.4g}",
            "━" * round(_BAR * value / largest) if largest > 0.0 else "",
            share(value / total) if total > 0.0 else DASH,
        ]
        feature = judged.get(name)
        if feature is not None:
            moved = f"{feature.baseline_rank} → {feature.window_rank}"
            same = feature.baseline_rank == feature.window_rank
            cells += [
                share(feature.baseline_share),
                str(feature.window_rank) if same else moved,
                p_value(feature.adjusted_p_value),
            ]
        table.add_row(*cells)
    return table
