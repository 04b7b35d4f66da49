"""What a window's verdict comes down to, in a few plain sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from driftgauge.drift.verdict import CellShift, FeatureVerdict, WindowVerdict, weighted_sizes
from driftgauge.report.cause import joint_names, joint_text, lasting, lasting_text
from driftgauge.report.markup import shorten
from driftgauge.report.wording import distance, p_value, plural, share

State = Literal["drift", "violations", "insufficient", "ok"]

STATE_WORDS: dict[State, str] = {
    "drift": "Drift",
    "violations": "Checks failed",
    "insufficient": "Insufficient data",
    "ok": "No drift",
}
TEST_WORDS = {
    "anderson_darling": "Anderson-Darling",
    "mood": "Mood",
    "novelty": "New values",
    "ks": "Kolmogorov-Smirnov",
    "chi_squared": "Chi-squared",
    "linf_simple": "Simple",
    "linf_robust": "Robust",
}
_NAME_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The verdict in words.

    Attributes
    ----------
    headline : str
        One sentence: what drifted and by how much.
    advice : tuple of str
        What to look at, the most pressing first.
    """

    state: State
    headline: str
    advice: tuple[str, ...]


def worst_first(features: tuple[FeatureVerdict, ...]) -> list[FeatureVerdict]:
    """Order features: drifted ones first, then judged ones, then the unjudged.

    Among each by size and importance, see ``drift.verdict.weighted_sizes``.
    """
    weighted = weighted_sizes(features)
    rank = {"drift": 0, "seasonal": 1, "ok": 2, "insufficient_data": 3}
    return sorted(
        features,
        key=lambda f: (
            rank[f.verdict],
            -weighted[f.name],
            f.name,
        ),
    )


def state_of(verdict: WindowVerdict) -> State:
    """Return the one word for a window."""
    decisions = (*verdict.features, verdict.persistent, verdict.joint)
    if any(decision is not None and decision.verdict == "drift" for decision in decisions):
        return "drift"
    if verdict.violations:
        return "violations"
    return "insufficient" if verdict.insufficient else "ok"


def measured_text(feature: FeatureVerdict) -> str:
    """Write what a column is judged by: its effect; in strict mode Model Monitor's distance."""
    if feature.effect is not None:
        return distance(feature.effect)
    if feature.test == "chi_squared":
        return f"p {_p_phrase(feature.p_value)}"
    return distance(feature.distance)


def evidence_text(feature: FeatureVerdict) -> str:
    """Say in figures why a column was judged as it was."""
    if feature.threshold is None:
        return (
            f"effect {distance(feature.effect)}, PSI {distance(feature.distance)}, "
            f"corrected p {_p_phrase(feature.adjusted_p_value)}"
        )
    test = TEST_WORDS[feature.test] if feature.test else ""
    figure = "" if feature.test == "chi_squared" else "distance "
    return f"{test} {figure}{measured_text(feature)}, threshold {feature.threshold:g}"


def moved_text(cells: tuple[CellShift, ...], *, limit: int = 2) -> str:
    """Say which shares moved from where to where."""
    return ", ".join(
        f"{shorten(cell.label, _NAME_LENGTH)} from {share(cell.baseline_share)} "
        f"to {share(cell.window_share)}"
        for cell in cells[:limit]
    )


def summarize(verdict: WindowVerdict, *, labelled: bool = False) -> Summary:
    """Say what a window's verdict comes down to.

    ``labelled`` says that labels have judged its predictions, so that nobody need look at them.
    """
    state = state_of(verdict)
    headline = {
        "drift": _drift_headline,
        "violations": _violations_headline,
        "insufficient": _insufficient_headline,
        "ok": _ok_headline,
    }[state](verdict)
    return Summary(state=state, headline=headline, advice=tuple(_advice(verdict, state, labelled)))


def _names(features: list[FeatureVerdict], limit: int = 3) -> str:
    names = [shorten(feature.name, _NAME_LENGTH) for feature in features[:limit]]
    if len(features) > limit:
        return f"{', '.join(names)} and {len(features) - limit} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _drift_headline(verdict: WindowVerdict) -> str:
    drifted = [f for f in worst_first(verdict.features) if f.verdict == "drift"]
    if not drifted:
        return _beyond_columns(verdict)
    worst = drifted[0]
    evidence = evidence_text(worst)
    if len(drifted) == 1:
        kind = "prediction" if worst.role == "output" else "feature"
        text = f"The {kind} {_names(drifted)} drifted ({evidence})"
    else:
        judged = sum(f.verdict != "insufficient_data" for f in verdict.features)
        text = (
            f"{len(drifted)} of {plural(judged, 'judged feature')} drifted: {_names(drifted)}. "
            f"Furthest is {_names([worst])} ({evidence})"
        )
    moved = moved_text(worst.moved)
    text = f"{text}: {moved}." if moved else f"{text}."
    return f"{text} {_beyond_columns(verdict)}".strip()


def _beyond_columns(verdict: WindowVerdict) -> str:
    """Say what drifted that no drifted column shows: what lasts, and how columns go together."""
    drifted = {f.name for f in verdict.features if f.verdict == "drift"}
    leads = [one.name for one in lasting(verdict)]
    parts = []
    if not (leads and leads[0] in drifted):
        parts.append(lasting_text(verdict))
    # A column that moves takes the joint distribution with it, which is no news.
    if joint_names(verdict) is not None or not (drifted or leads):
        parts.append(joint_text(verdict))
    return " ".join(part for part in parts if part)


def _p_phrase(value: float | None) -> str:
    text = p_value(value)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _violations_headline(verdict: WindowVerdict) -> str:
    columns = list(dict.fromkeys(v.feature_name for v in verdict.violations))
    shown = ", ".join(shorten(name, _NAME_LENGTH) for name in columns[:3])
    more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
    judged = (
        "no feature could be judged for drift" if verdict.insufficient else "no feature drifted"
    )
    failed = plural(len(verdict.violations), "data-quality check")
    return f"{failed} failed on {shown}{more}; {judged}."


def _insufficient_headline(verdict: WindowVerdict) -> str:
    if not verdict.rows:
        return "No usable row arrived in this window, so nothing could be judged."
    return (
        f"{plural(verdict.rows, 'row')} arrived in this window, too few to judge any feature; "
        "nothing is known about drift."
    )


def _ok_headline(verdict: WindowVerdict) -> str:
    judged = [f for f in worst_first(verdict.features) if f.verdict in ("ok", "seasonal")]
    text = f"No feature drifted and no check failed over {plural(len(judged), 'judged feature')}."
    seasonal = [f for f in judged if f.verdict == "seasonal"]
    if seasonal:
        return f"{text} {_names(seasonal)} moved as in the same season before."
    top = judged[0]
    if top.size is None:
        return text
    if top.threshold is not None:
        return f"{text} Closest is {_names([top])} ({evidence_text(top)})."
    return f"{text} The largest effect is {distance(top.effect)}, on {_names([top])}."


def _advice(verdict: WindowVerdict, state: State, labelled: bool) -> list[str]:
    advice = []
    if verdict.drifted_inputs:
        advice.append(
            f"Find out whether {_names(list(verdict.drifted_inputs))} changed in the world or only "
            "in how the values are produced upstream: a new source, unit, encoding or default."
        )
    if verdict.drifted_outputs and not labelled:
        advice.append(
            f"The model answers differently ({_names(list(verdict.drifted_outputs))}): compare its "
            "predictions with labels of this window before trusting them."
        )
    elif (
        verdict.drifted_inputs
        and not verdict.drifted_outputs
        and not labelled
        and any(f.role == "output" for f in verdict.features)
    ):
        advice.append(
            "The predictions did not drift, so the model may not depend much on what moved; "
            "labels would settle it."
        )
    advice += _advice_beyond_columns(verdict)
    checks = verdict.quality_violations
    if checks:
        advice.append(
            f"{plural(len(checks), 'data-quality check')} failed; such failures usually point at "
            "whoever produces the data, not at the world."
        )
    if verdict.rejected_total:
        advice.append(
            f"{share(verdict.rejected_share)} of the input was rejected and is not part of any "
            "figure here."
        )
    if verdict.other_baseline_rows:
        advice.append(
            f"{plural(verdict.other_baseline_rows, 'row')} of this window were profiled against "
            "another baseline and are not part of this verdict."
        )
    if state == "insufficient":
        advice.append("Use a longer window, or capture a larger share of the traffic.")
    return advice


def _advice_beyond_columns(verdict: WindowVerdict) -> list[str]:
    advice = []
    drifted = {f.name for f in verdict.features if f.verdict == "drift"}
    begun = [one for one in lasting(verdict) if one.since < verdict.window_start]
    if any(one.name not in drifted for one in begun):
        advice.append(
            "A lasting drift is small in every single window. What was released or changed at "
            "its beginning is the first place to look."
        )
    if joint_names(verdict) is not None:
        advice.append(
            "Where columns go together otherwise while each looks as before, look for a join, a "
            "key or an order of columns that changed."
        )
    seasonal = [f for f in worst_first(verdict.features) if f.verdict == "seasonal"]
    if seasonal and state_of(verdict) != "ok":
        advice.append(f"{_names(seasonal)} moved as in the same season before, which is no alarm.")
    return advice
