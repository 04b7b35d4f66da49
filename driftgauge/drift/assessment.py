"""Everything that is said about a window, in one function for the deployed monitor and the CLI.

Sound mode judges a window on its own (``decision``), against further references
(``references``), together with all windows before it (``evidence``), and by how its columns go
together (``joint``). Strict mode is what Model Monitor would say, and none of this.

The engine reads nothing: the caller hands in the evidence so far and takes the new one back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from driftgauge.drift.decision import judge_window
from driftgauge.drift.evidence import EvidenceState, add_window, dispersions, judge_persistence
from driftgauge.drift.joint import judge_joint
from driftgauge.drift.predictions import prediction_shifts
from driftgauge.drift.references import (
    Judged,
    PastWindows,
    Reference,
    gather_references,
    judge_against_references,
    lasting_columns,
    mark_seasonal,
    profile_between,
    seasonal_columns,
)
from driftgauge.drift.scores import window_scores
from driftgauge.drift.segments import segment_shifts
from driftgauge.drift.verdict import (
    BASELINE_DRIFT,
    FeatureVerdict,
    JointVerdict,
    Mode,
    Outcome,
    PersistentDrift,
    WindowVerdict,
    weighted_sizes,
)
from driftgauge.profile.profile import Profile
from driftgauge.settings import DecisionSettings, FeatureSettings
from driftgauge.windows import Window

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.settings import ReferenceSettings

# Columns whose segments are looked for.
_EXPLAINED = 10
# Rows of a reference, as a share of the window's, from which it tells how columns go together.
_COMPARABLE = 0.5


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What of a monitor's settings decides.

    Attributes
    ----------
    decision : DecisionSettings
        Error probabilities, smallest effects, fewest rows; of no meaning in strict mode.
    features : mapping of str to FeatureSettings
        Overrides by column.
    references : sequence of ReferenceSettings
        What windows are compared with besides the baseline, in sound mode.
    mode : {"sound", "strict"}
    """

    decision: DecisionSettings = field(default_factory=DecisionSettings)
    features: Mapping[str, FeatureSettings] = field(default_factory=dict)
    references: Sequence[ReferenceSettings] = ()
    mode: Mode = "sound"

    @property
    def keeps_evidence(self) -> bool:
        """Whether a window's verdict depends on the windows before it."""
        learns = self.decision.persistence.enabled or self.decision.clustering == "windows"
        return self.mode == "sound" and learns


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """Which window of whom is judged, and when.

    Attributes
    ----------
    monitor, variant : str
        Whose window it is.
    window : Window
        The interval of inference time.
    evaluated_at : datetime
        Now.
    window_length : timedelta
        How long a window is on the average: what ``false_alarm_every`` is counted in.
    is_evidence : bool, default True
        Whether the window is one more in the evidence over time; False for one that consists of
        windows which are in it already.
    """

    monitor: str
    variant: str
    window: Window
    evaluated_at: datetime
    window_length: timedelta
    is_evidence: bool = True


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """A window's verdict, and the evidence that now includes the window."""

    verdict: WindowVerdict
    evidence: EvidenceState


def assess_window(
    *,
    baseline: Baseline,
    profile: Profile,
    rules: Rules,
    occasion: Occasion,
    evidence: EvidenceState,
    past: PastWindows,
    other_baseline_rows: int = 0,
) -> Assessment:
    """Judge a window in every way that the settings ask for.

    The same window again, with the evidence that includes it already, gets the same verdict: it
    replaces its entry, how much windows differ is learnt from those before it, and the evidence
    over time is judged on the entries up to it.

    Parameters
    ----------
    baseline : Baseline
        What the window is compared with.
    profile : Profile
        The window's rows, counted against the baseline's specification.
    rules : Rules
        How to decide.
    occasion : Occasion
        Which window.
    evidence : EvidenceState
        Of the windows so far, with or without this one.
    past : PastWindows
        Where references come from.
    other_baseline_rows : int, default 0
        Rows of the window that were counted against another baseline.

    Raises
    ------
    ProfileError
        If profile or evidence belong to another baseline.
    """
    decision = rules.decision
    over_time = (
        _over_time(baseline, profile, rules, occasion, evidence)
        if rules.keeps_evidence
        else _OverTime(evidence=evidence)
    )
    verdict = judge_window(
        baseline=baseline,
        profile=profile,
        decision=decision,
        features=rules.features,
        monitor=occasion.monitor,
        variant=occasion.variant,
        window=occasion.window,
        evaluated_at=occasion.evaluated_at,
        other_baseline_rows=other_baseline_rows,
        mode=rules.mode,
        dispersions=over_time.dispersions,
    )
    if rules.mode == "strict":
        return Assessment(verdict=verdict, evidence=evidence)
    judged = Judged(
        baseline=baseline.profile,
        profile=profile,
        window=occasion.window,
        variant=occasion.variant,
        decision=decision,
        features=rules.features,
        dispersions=over_time.dispersions,
    )
    if decision.joint.enabled:
        verdict = replace(verdict, joint=_judge_joint(baseline, judged))
    verdict = _refer(verdict, baseline, judged, rules.references, past)
    verdict = replace(
        verdict,
        features=_explain_by_segments(verdict.features, baseline.profile, profile),
        persistent=_persistent(baseline.profile, rules, occasion, over_time, verdict),
        predictions=prediction_shifts(
            baseline=baseline.profile,
            profile=profile,
            features=rules.features,
            dispersions=over_time.dispersions,
        ),
    )
    return Assessment(verdict=verdict, evidence=over_time.evidence)


@dataclass(frozen=True, kw_only=True)
class _OverTime:
    """The evidence with this window, the part of it up to this window, and what it teaches."""

    evidence: EvidenceState
    until: EvidenceState | None = None
    dispersions: Mapping[str, float] = field(default_factory=dict)


def _over_time(
    baseline: Baseline,
    profile: Profile,
    rules: Rules,
    occasion: Occasion,
    evidence: EvidenceState,
) -> _OverTime:
    window, settings = occasion.window, rules.decision.persistence
    learnt_until = window.end
    if occasion.is_evidence:
        evidence = add_window(evidence, window_scores(profile, baseline.profile, window=window))
        learnt_until = window.start
    factors: dict[str, float] = {}
    if rules.decision.clustering == "windows":
        blocks = baseline.blocks
        factors = dispersions(
            evidence,
            baseline=baseline.profile,
            before=learnt_until,
            settings=settings,
            training=None if blocks is None else blocks.of_size(profile.rows),
        )
    return _OverTime(
        evidence=evidence,
        until=evidence.before(window.end) if settings.enabled else None,
        dispersions=factors,
    )


def _persistent(
    baseline: Profile,
    rules: Rules,
    occasion: Occasion,
    over_time: _OverTime,
    verdict: WindowVerdict,
) -> PersistentDrift | None:
    """Judge the evidence; what seasonal columns contribute to it is seasonal, too."""
    until = over_time.until
    if until is None:
        return None

    def judge(features: Mapping[str, FeatureSettings]) -> PersistentDrift:
        return judge_persistence(
            until,
            baseline=baseline,
            features=features,
            settings=rules.decision.persistence,
            window_length=occasion.window_length,
        )

    found = judge(rules.features)
    seasonal = [f.name for f in verdict.features if f.verdict == "seasonal"]
    if found.verdict != "drift" or not seasonal:
        return found
    others = judge(ignoring(rules.features, seasonal))
    if others.verdict == "drift":
        return found
    # The value of the others is the one that the alarm looks at; the columns are still named.
    return replace(found, verdict="seasonal", value=others.value)


def _refer(
    verdict: WindowVerdict,
    baseline: Baseline,
    judged: Judged,
    references: Sequence[ReferenceSettings],
    past: PastWindows,
) -> WindowVerdict:
    """Add the comparisons with references, and what they make seasonal."""
    gathered = gather_references(judged, references=references, past=past)
    if not gathered:
        return verdict
    found = judge_against_references(judged, references=gathered, verdicts=verdict.features)
    columns = seasonal_columns(verdict.features, found)
    drifted = verdict.joint is not None and verdict.joint.verdict == "drift"
    if columns or drifted:
        between = profile_between(judged, references=references, past=past)
        columns -= lasting_columns(judged, columns=columns, between=between)
        if drifted and _is_seasonal_joint(baseline, judged, gathered, between, columns):
            verdict = replace(verdict, joint=_as_seasonal(verdict.joint))
    return replace(
        verdict,
        features=mark_seasonal(verdict.features, found, columns=columns),
        violations=tuple(
            violation
            for violation in verdict.violations
            if violation.constraint_check_type != BASELINE_DRIFT
            or violation.feature_name not in columns
        ),
        references=found,
    )


def _is_seasonal_joint(
    baseline: Baseline,
    judged: Judged,
    references: Sequence[Reference],
    between: Profile,
    columns: frozenset[str],
) -> bool:
    """Tell whether a joint drift is the season's: that of seasonal columns, or a season's own."""
    others = replace(judged, features=ignoring(judged.features, sorted(columns)))
    if columns and _judge_joint(baseline, others).verdict != "drift":
        return True
    seasons = [one.profile for one in references if one.settings.kind == "season"]
    outcomes = {_joint_against(one, baseline, judged) for one in seasons}
    if outcomes - {"insufficient_data"} != {"ok"}:
        return False
    # As with columns: a change that stays is in the windows in between as well.
    return _joint_against(between, baseline, judged) != "ok"


def _as_seasonal(joint: JointVerdict | None) -> JointVerdict | None:
    if joint is None:
        return None
    reason = f"{joint.reason} It is that of the same season, so it is no alarm."
    return replace(joint, verdict="seasonal", reason=reason)


def _joint_against(reference: Profile, baseline: Baseline, judged: Judged) -> Outcome:
    """Judge how columns go together in a window and a reference, if that has rows to tell."""
    if reference.rows < _COMPARABLE * judged.profile.rows:
        return "insufficient_data"
    return _judge_joint(replace(baseline, profile=reference), judged).verdict


def _judge_joint(baseline: Baseline, judged: Judged) -> JointVerdict:
    """Judge how columns go together; windows vary in that as columns do on the average."""
    factors = [
        factor
        for name, factor in judged.dispersions.items()
        if not (name in judged.features and judged.features[name].ignore)
    ]
    return judge_joint(
        baseline=baseline,
        profile=judged.profile,
        settings=judged.decision,
        features=judged.features,
        dispersion=sum(factors) / len(factors) if factors else 1.0,
    )


def _explain_by_segments(
    features: Sequence[FeatureVerdict], baseline: Profile, profile: Profile
) -> tuple[FeatureVerdict, ...]:
    """Say which segments carry the shifts that are reported, of the columns that moved furthest."""
    sizes = weighted_sizes(features)
    reported = [f.name for f in features if f.verdict in ("drift", "seasonal")]
    furthest = set(sorted(reported, key=lambda name: -sizes[name])[:_EXPLAINED])
    return tuple(
        replace(
            feature,
            segments=segment_shifts(baseline=baseline, profile=profile, feature=feature.name),
        )
        if feature.name in furthest
        else feature
        for feature in features
    )


def ignoring(
    features: Mapping[str, FeatureSettings], names: Sequence[str]
) -> dict[str, FeatureSettings]:
    """Return the overrides with some columns ignored."""
    changed = {
        name: features.get(name, FeatureSettings()).model_copy(update={"ignore": True})
        for name in names
    }
    return {**features, **changed}
