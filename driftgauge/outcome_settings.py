"""The blocks of a monitor file about what came of predictions: quality, bias, attributions.

``driftgauge.config`` puts them together with the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from driftgauge.attribution.drift import NDCG_LIMIT, AttributionSettings
from driftgauge.fairness.decision import BiasSettings
from driftgauge.fairness.measure import DESCRIPTIONS
from driftgauge.fairness.spec import BiasSpec, Criterion, FacetSpec
from driftgauge.quality.decision import JUDGED
from driftgauge.quality.outcomes import Problem
from driftgauge.quality.settings import QualitySettings
from driftgauge.quality.tables import OutcomeColumns
from driftgauge.settings import Duration, Settings

_Share = Annotated[float, Field(gt=0, lt=0.5)]
_Tolerance = Annotated[float, Field(ge=0)]
# Each is drawn and judged on its own.
MOST_SEGMENT_COLUMNS = 10
_BINARY_CLASSES = ("0", "1")


class OutcomeSettings(Settings):
    """What the model predicts, and how its labels find their way back."""

    problem: Problem = "binary"
    classes: tuple[str, ...] = Field(
        default=(),
        description=(
            "Names of the classes as labels have them. Binary: the negative one first, default 0 "
            "and 1. Multiclass: in the order of `probabilities`."
        ),
    )
    prediction: str | None = Field(
        default=None,
        description=(
            "Output column of the predicted class or number. Default: a regression's is the "
            "monitor's `prediction`, a class follows from the probabilities."
        ),
    )
    probabilities: tuple[str, ...] = Field(
        default=(),
        description=(
            "Output columns of the probabilities. Binary: one, of the positive class, by default "
            "the monitor's `prediction`. Multiclass: one for each of `classes`."
        ),
    )
    threshold: float = Field(
        default=0.5,
        description=(
            "Binary without a column of the predicted class: the probability from which on the "
            "positive class is predicted."
        ),
    )
    segments: tuple[str, ...] = Field(
        default=(),
        max_length=MOST_SEGMENT_COLUMNS,
        description="Columns in whose categories quality is measured on its own as well.",
    )
    lookback: Duration = Field(
        default=timedelta(days=90),
        description="How far back from its collection a label looks for its prediction.",
    )
    wait: Duration = Field(
        default=timedelta(days=7),
        description="How long a label that comes before its prediction waits for it.",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.problem == "regression":
            if self.classes or self.probabilities:
                raise ValueError("a regression has neither classes nor probabilities")
        elif self.problem == "multiclass":
            self._multiclass_fits()
        elif len(self.probabilities) > 1:
            raise ValueError(
                "probabilities: a binary problem has one, that of the positive class; several "
                "classes are problem: multiclass"
            )
        elif self.classes and len(self.classes) != 2:
            raise ValueError(
                f"classes: a binary problem has two, the negative one first, not "
                f"{len(self.classes)}"
            )
        for where in ("classes", "probabilities", "segments"):
            _check_different(where, getattr(self, where))
        return self

    def _multiclass_fits(self) -> None:
        if len(self.classes) < 2:
            raise ValueError(
                "classes: name the classes of a multiclass problem as labels have them, at least "
                "two"
            )
        if self.prediction is None and not self.probabilities:
            raise ValueError(
                "name the column of the predicted class in `prediction`, or one column for each "
                "class in `probabilities`"
            )
        if self.probabilities and len(self.probabilities) != len(self.classes):
            raise ValueError(
                f"probabilities: {len(self.probabilities)} columns for {len(self.classes)} classes"
            )

    @property
    def needs_score(self) -> bool:
        """Whether the monitor's ``prediction`` is needed to know what was predicted."""
        return self.prediction is None and not self.probabilities

    def check_retraining(self, score: str) -> None:
        """Raise ValueError where a retraining cannot compare models, or measure a new one.

        Parameters
        ----------
        score : str
            The monitor's ``prediction``: the column that rows are scored anew in.
        """
        classes = tuple(word.lower() for word in self.classes or _BINARY_CLASSES)
        if self.problem != "binary" or classes not in (_BINARY_CLASSES, ("false", "true")):
            raise ValueError(
                "retraining compares models by the log loss of labels 0 and 1: outcomes must be "
                "binary with the classes 0 and 1, or retraining off"
            )
        if self.probabilities not in ((), (score,)):
            raise ValueError(
                "retraining scores rows anew in the column `prediction`: outcomes.probabilities "
                "must be it, or left out"
            )

    def columns(self, *, label: str, score: str | None) -> OutcomeColumns:
        """Return where rows hold their outcomes.

        Parameters
        ----------
        label : str
            Column of the truth.
        score : str or None
            The monitor's ``prediction``, which is the default of the problem's own column.

        Raises
        ------
        QualityError
            If neither says which column is the prediction.

        Examples
        --------
        >>> OutcomeSettings().columns(label="late", score="late_probability").probabilities
        ('late_probability',)
        """
        prediction, probabilities = self.prediction, self.probabilities
        if self.problem == "regression":
            prediction = prediction or score
        elif self.problem == "binary" and not probabilities and score not in (None, prediction):
            probabilities = (score,)
        binary = _BINARY_CLASSES if self.problem == "binary" else ()
        return OutcomeColumns(
            problem=self.problem,
            label=label,
            prediction=prediction,
            probabilities=probabilities,
            classes=self.classes or binary,
            threshold=self.threshold,
            segments=self.segments,
        )


class QualityMonitorSettings(Settings):
    """When a change of the model's quality is worth an alarm."""

    alpha: _Share = Field(
        default=0.01, description="Chance of any false alarm about quality in one window."
    )
    tolerance: _Tolerance = Field(
        default=0.02, description="Smallest fall of a rate, such as accuracy, worth an alarm."
    )
    relative_tolerance: _Tolerance = Field(
        default=0.05,
        description="The same for errors such as mae, as a share of the baseline's.",
    )
    tolerances: dict[str, _Tolerance] = Field(
        default_factory=dict, description="Tolerances of single measures, absolute; they win."
    )
    min_rows: Annotated[int, Field(ge=10)] = Field(
        default=50, description="Below this many labelled rows nothing is judged."
    )
    min_coverage: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description=(
            "Share of the rows that need a label before quality is judged. Default: learnt, 0.9 "
            "times what earlier windows had at the same age."
        ),
    )
    estimate: bool = Field(
        default=True,
        description="Estimate quality without labels as well, and alarm on the gap between both.",
    )
    primary: str | None = Field(
        default=None,
        description=(
            "The measure on the dashboard, which gets half of alpha; default: accuracy, or mae of "
            "a regression."
        ),
    )

    def decision(
        self, *, design_effect: float = 1.0, usual_coverage: float | None = None
    ) -> QualitySettings:
        """Return what windows are judged by.

        Parameters
        ----------
        design_effect : float
            How many times larger variances are than independent rows would give.
        usual_coverage : float or None
            What earlier windows had at the same age; ``min_coverage`` wins.

        Examples
        --------
        >>> settings = QualityMonitorSettings(min_coverage=0.5).decision(usual_coverage=0.9)
        >>> settings.usual_coverage, settings.min_coverage
        (None, 0.5)
        """
        return QualitySettings(
            alpha=self.alpha,
            tolerance=self.tolerance,
            relative_tolerance=self.relative_tolerance,
            tolerances=self.tolerances,
            min_rows=self.min_rows,
            design_effect=design_effect,
            usual_coverage=usual_coverage if self.min_coverage is None else None,
            min_coverage=self.min_coverage,
            primary=self.primary,
        )


class FacetSettings(Settings):
    """A column, and what in it makes a row one of the disadvantaged group."""

    column: str
    values: tuple[str, ...] = Field(
        default=(), description="The sensitive values; numbers as text, such as '1'."
    )
    above: float | None = Field(
        default=None, description="Numbers above this are sensitive, instead of `values`."
    )

    @model_validator(mode="after")
    def _one_criterion(self) -> Self:
        if bool(self.values) == (self.above is not None):
            raise ValueError("give either the sensitive `values`, or `above`")
        return self

    @property
    def spec(self) -> FacetSpec:
        """What is counted of it."""
        return FacetSpec(
            column=self.column, sensitive=Criterion(values=self.values, threshold=self.above)
        )


class BiasMonitorSettings(Settings):
    """Which groups are compared, and when a difference between them is worth an alarm."""

    label: str = Field(
        default="label",
        description="What the outcome is called in analysis.json; default: the monitor's `label`.",
    )
    positive: tuple[str, ...] = Field(
        default=(),
        description=(
            "The wished outcomes, of labels and predictions. Default: the positive class of a "
            "binary problem."
        ),
    )
    positive_above: float | None = Field(
        default=None, description="Outcomes above this number are wished, instead of `positive`."
    )
    facets: tuple[FacetSettings, ...] = Field(min_length=1, max_length=10)
    group: str | None = Field(
        default=None, description="Column whose values the conditional metrics condition on."
    )
    alpha: _Share = Field(
        default=0.01, description="Chance of any false alarm about bias in one window."
    )
    tolerance: _Tolerance = Field(
        default=0.05,
        description="Bias beyond the baseline's that is no alarm, for differences of shares.",
    )
    divergence_tolerance: _Tolerance = Field(
        default=0.02, description="The same for JS, KL and GE."
    )
    ratio_tolerance: _Tolerance = Field(
        default=0.2, description="The same for DCA, DCR and TE; for DI relative."
    )
    tolerances: dict[str, _Tolerance] = Field(
        default_factory=dict, description="Tolerances of single metrics, such as DPPL; they win."
    )
    min_rows: Annotated[int, Field(ge=1)] = Field(
        default=30, description="Rows that every rate in a metric must rest on."
    )

    @model_validator(mode="after")
    def _one_criterion(self) -> Self:
        if bool(self.positive) == (self.positive_above is not None):
            raise ValueError(
                "give either the wished outcomes in `positive`, or `positive_above`: only of a "
                "binary problem they are known"
            )
        facets = [(facet.column, facet.values, facet.above) for facet in self.facets]
        if len(set(facets)) != len(facets):
            raise ValueError("facets names one facet twice")
        known = {name for stage in DESCRIPTIONS.values() for name in stage}
        _check_known("tolerances", self.tolerances, known)
        return self

    @property
    def spec(self) -> BiasSpec:
        """What is counted."""
        return BiasSpec(
            label=self.label,
            positive=Criterion(values=self.positive, threshold=self.positive_above),
            facets=tuple(facet.spec for facet in self.facets),
            group=self.group,
        )

    def decision(self, *, design_effect: float = 1.0) -> BiasSettings:
        """Return what windows are judged by."""
        return BiasSettings(
            alpha=self.alpha,
            tolerance=self.tolerance,
            divergence_tolerance=self.divergence_tolerance,
            ratio_tolerance=self.ratio_tolerance,
            tolerances=self.tolerances,
            min_rows=self.min_rows,
            design_effect=design_effect,
        )


class AttributionMonitorSettings(Settings):
    """How predictions are explained, and when a change of it is worth an alarm."""

    source: Literal["champion", "captured", "endpoint"] = Field(
        default="champion",
        description=(
            "champion: exactly, from the model's own file. captured: the payload holds "
            "attributions in columns of `prefix`. endpoint: KernelSHAP, which calls the endpoint."
        ),
    )
    model: str | None = Field(
        default=None,
        description=(
            "champion: the model file, s3://bucket/key or a key of the store: JSON of XGBoost or "
            "LightGBM, or coefficients. Default: the file of the model that `current.json` names."
        ),
    )
    prefix: str = Field(
        default="shap_",
        min_length=1,
        description="captured: what the names of attribution columns begin with.",
    )
    rows: Annotated[int, Field(ge=30, le=10_000)] = Field(
        default=500, description="Rows of a window that are explained, drawn by chance."
    )
    samples: Annotated[int, Field(ge=4)] | None = Field(
        default=None,
        description=(
            "endpoint: coalitions of features for each explained row; default: the smaller of "
            "2048 + 2 d and 2^d - 2 for d features."
        ),
    )
    invocations: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=2000, description="endpoint: most calls of the endpoint for one window."
    )
    ndcg_limit: Annotated[float, Field(gt=0, le=1)] = Field(
        default=NDCG_LIMIT, description="strict: the NDCG below which there is drift."
    )
    alpha: _Share = Field(
        default=0.01, description="sound: chance of any false alarm about attributions in a window."
    )
    min_distance: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="sound: smallest share of the attribution whose move is worth an alarm.",
    )

    @model_validator(mode="after")
    def _options_belong(self) -> Self:
        fields = type(self).model_fields
        for source, names in _OPTIONS_OF.items():
            changed = [n for n in names if getattr(self, n) != fields[n].default]
            if self.source != source and changed:
                raise ValueError(f"{changed[0]} belongs to source: {source}")
        return self

    def decision(self, *, design_effect: float = 1.0) -> AttributionSettings:
        """Return what windows are judged by."""
        return AttributionSettings(
            ndcg_limit=self.ndcg_limit,
            alpha=self.alpha,
            min_distance=self.min_distance,
            design_effect=design_effect,
        )


_OPTIONS_OF: Mapping[str, tuple[str, ...]] = {
    "champion": ("model",),
    "captured": ("prefix",),
    "endpoint": ("samples", "invocations"),
}


def check_measures(quality: QualityMonitorSettings, problem: Problem) -> None:
    """Raise ValueError where settings name a measure that such a problem is not judged by."""
    known = JUDGED[problem]
    _check_known("quality.tolerances", quality.tolerances, known)
    if quality.primary is not None:
        _check_known("quality.primary", (quality.primary,), known)


def with_bias_of_outcomes(document: Any) -> Any:
    """Complete ``bias`` in a monitor file by what other keys say: the label, the positive class.

    Examples
    --------
    >>> monitor = {"label": "late", "outcomes": {}, "bias": {"facets": []}}
    >>> with_bias_of_outcomes(monitor)["bias"]
    {'positive': ('1',), 'label': 'late', 'facets': []}
    """
    if not isinstance(document, dict) or not isinstance(document.get("bias"), dict):
        return document
    bias, outcomes = document["bias"], document.get("outcomes")
    known: dict[str, Any] = {}
    if isinstance(outcomes, dict) and outcomes.get("problem", "binary") == "binary":
        classes = outcomes.get("classes") or _BINARY_CLASSES
        if not bias.get("positive") and bias.get("positive_above") is None and len(classes) == 2:
            known["positive"] = (classes[1],)
    if document.get("label") is not None:
        known["label"] = document["label"]
    return {**document, "bias": {**known, **bias}}


def _check_known(where: str, names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(known))
            raise ValueError(f"{where}: {name!r} is none of what is judged: {listed}")


def _check_different(where: str, names: tuple[str, ...]) -> None:
    twice = [name for at, name in enumerate(names) if name in names[:at]]
    if twice:
        raise ValueError(f"{where} names {twice[0]!r} twice")
