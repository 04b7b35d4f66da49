"""The blocks of a monitor file that let a challenger be compared with the champion.

``driftgauge.config`` puts them together with the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from driftgauge.experiments.settings import ExperimentSettings
from driftgauge.experiments.shadow_settings import ShadowSettings
from driftgauge.quality.tables import OutcomeColumns
from driftgauge.settings import Moment, Name, Settings

_RATES = (
    *("recall", "precision", "true_negative_rate", "false_positive_rate"),
    *("false_negative_rate", "positive_rate"),
)
_LOSSES = ("brier_score", "log_loss")


class ComparedVariants(Settings):
    """Two variants of the endpoint, and since when they are compared."""

    name: Name = Field(description="A new comparison needs a new name: a decision stays.")
    champion: str = Field(description="The variant that serves; of a shadow test, production.")
    challenger: str = Field(description="The variant that may take its place, or the shadow.")
    since: Moment = Field(description="Rows before do not count: when the variants began.")


class AbMonitorSettings(ComparedVariants, ExperimentSettings):
    """Both variants serve, each a share of the requests."""

    kind: Literal["ab"]


class ShadowMonitorSettings(ComparedVariants, ShadowSettings):
    """The challenger gets copies of production's requests, and its answers are not used."""

    kind: Literal["shadow"]


ExperimentMonitorSettings = Annotated[
    AbMonitorSettings | ShadowMonitorSettings, Field(discriminator="kind")
]


def check_experiments(
    experiments: Sequence[AbMonitorSettings | ShadowMonitorSettings],
    variants: Sequence[str],
    columns: OutcomeColumns,
) -> None:
    """Raise ValueError if a monitor cannot compare what its experiments name.

    Parameters
    ----------
    experiments : sequence of settings
    variants : sequence of str
        Those of the endpoint.
    columns : OutcomeColumns
        What is known of predictions and labels.
    """
    names: set[str] = set()
    challengers: set[str] = set()
    for at, one in enumerate(experiments):
        where = f"experiments.{at}"
        if one.name in names:
            raise ValueError(f"{where}.name: {one.name!r} is there already")
        for side in (one.champion, one.challenger):
            if side not in variants:
                raise ValueError(
                    f"{where}: {side!r} is none of endpoint.variants: {', '.join(variants)}"
                )
        if one.champion == one.challenger:
            raise ValueError(f"{where}: champion and challenger are the same variant")
        if one.challenger in challengers:
            raise ValueError(
                f"{where}.challenger: {one.challenger!r} is challenger in another experiment, "
                "whose metrics and alarms have the same names: remove what has ended"
            )
        names.add(one.name)
        challengers.add(one.challenger)
        if isinstance(one, AbMonitorSettings):
            _check_measures(one, columns, where)
        else:
            _check_tolerance(one, columns, where)


def measures_of(columns: OutcomeColumns) -> tuple[str, ...]:
    """Return the measures that two variants can be compared by: those that are means over rows.

    Examples
    --------
    >>> measures_of(OutcomeColumns(problem="regression", label="y", prediction="p"))
    ('mae', 'mse')
    """
    if columns.problem == "regression":
        return ("mae", "mse")
    rates = _RATES if columns.problem == "binary" else ()
    return ("accuracy", *rates, *(_LOSSES if columns.probabilities else ()))


def _check_measures(one: AbMonitorSettings, columns: OutcomeColumns, where: str) -> None:
    known = measures_of(columns)
    for metric in (one.primary, *one.guardrails):
        if metric.name not in known:
            raise ValueError(
                f"{where}: {metric.name!r} is nothing that variants of this monitor can be "
                f"compared by; choose from {', '.join(known)}"
            )


def _check_tolerance(one: ShadowMonitorSettings, columns: OutcomeColumns, where: str) -> None:
    if columns.problem == "regression" and one.tolerance is None:
        raise ValueError(
            f"{where}.tolerance: predicted numbers hardly ever are equal: say up to which "
            "difference they agree"
        )
    if columns.problem != "regression" and one.tolerance is not None:
        raise ValueError(f"{where}.tolerance: classes agree or not: it is for a regression only")
