"""One window judged in every way, from the evidence before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings, FeatureSettings, ReferenceSettings
from driftgauge.drift.assessment import Assessment, Occasion, Rules, assess_window
from driftgauge.drift.evidence import EvidenceState
from driftgauge.drift.references import StoredWindows
from driftgauge.drift.verdict import WindowVerdict, decode_verdict, encode_verdict
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.rehearsal import Rehearsal
from driftgauge.replay import ProfiledWindow, whole_of
from driftgauge.windows import Window

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
EMPTY = EvidenceState.empty("1")


def columns(
    rows: int, *, seed: int, shift: float = 0.0, together: float = 0.0
) -> dict[str, Column]:
    rng = np.random.default_rng(seed)
    amount, rest = rng.standard_normal((2, rows))
    age = together * amount + np.sqrt(1 - together**2) * rest
    regions = rng.integers(0, 3, rows)
    score = 1.0 / (1.0 + np.exp(-rng.standard_normal(rows)))
    return {
        "score": Column(numbers=score, types=TypeCounts(fractional=rows)),
        "amount": Column(numbers=amount + shift, types=TypeCounts(fractional=rows)),
        "age": Column(numbers=age, types=TypeCounts(fractional=rows)),
        "region": Column(
            numbers=np.full(rows, np.nan),
            codes=regions.astype(np.int32),
            words=("north", "south", "west"),
            types=TypeCounts(text=rows),
        ),
    }


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    table = Table(rows=8000, columns=columns(8000, seed=1))
    return build_baseline([table], version="1", outputs=("score",), created=START)


def window(number: int) -> Window:
    return Window(START + number * DAY, START + (number + 1) * DAY)


def profile(baseline: Baseline, number: int, *, rows: int = 600, **options: Any) -> Profile:
    found = columns(rows, seed=1000 + number, **options)
    return profile_columns(baseline.spec, found, rows=rows)


def assess(
    baseline: Baseline,
    number: int,
    evidence: EvidenceState,
    counted: Profile,
    *,
    rules: Rules | None = None,
    past: dict[Window, Profile] | None = None,
) -> Assessment:
    return assess_window(
        baseline=baseline,
        profile=counted,
        rules=rules or Rules(),
        occasion=Occasion(
            monitor="m",
            variant="v",
            window=window(number),
            evaluated_at=START,
            window_length=DAY,
        ),
        evidence=evidence,
        past=StoredWindows(lambda one, variant: (past or {}).get(one)),
    )


def days(
    baseline: Baseline, count: int, *, first_shifted: int = 10_000, shift: float = 0.0
) -> Iterator[tuple[int, Profile, Assessment]]:
    evidence = EMPTY
    for number in range(count):
        moved = shift if number >= first_shifted else 0.0
        counted = profile(baseline, number, shift=moved)
        found = assess(baseline, number, evidence, counted)
        evidence = found.evidence
        yield number, counted, found


@pytest.fixture(scope="module")
def story(baseline: Baseline) -> list[tuple[int, Profile, Assessment]]:
    """Twelve quiet days, then a shift that no single day shows."""
    return list(days(baseline, 40, first_shifted=12, shift=0.12))


def test_a_small_lasting_shift_is_found_by_all_windows_together(
    story: list[tuple[int, Profile, Assessment]],
) -> None:
    verdicts = [found.verdict for _, _, found in story]
    outcomes = [v.persistent.verdict for v in verdicts if v.persistent]
    assert outcomes[:7] == ["insufficient_data"] * 7
    assert set(outcomes[7:12]) == {"ok"}
    first = outcomes.index("drift")
    assert 12 < first < 36
    assert verdicts[first].alarm
    persistent = verdicts[first].persistent
    assert persistent is not None
    lead = persistent.features[0]
    assert (lead.name, lead.aspect) == ("amount", "location")
    assert abs(lead.since - window(12).start) <= 4 * DAY
    # No single window is the reason.
    alone = sum(bool(v.drifted_inputs) for v in verdicts[: first + 1])
    assert alone <= 1


def test_the_same_window_again_changes_neither_evidence_nor_verdict(
    baseline: Baseline, story: list[tuple[int, Profile, Assessment]]
) -> None:
    number, counted, found = story[25]
    again = assess(baseline, number, found.evidence, counted)
    assert again.evidence == found.evidence
    assert again.verdict == found.verdict


def test_an_older_window_is_judged_by_the_windows_up_to_it(
    baseline: Baseline, story: list[tuple[int, Profile, Assessment]]
) -> None:
    number, counted, found = story[20]
    _, _, latest = story[30]
    again = assess(baseline, number, latest.evidence, counted)
    assert again.evidence == latest.evidence
    assert again.verdict.persistent == found.verdict.persistent
    assert again.verdict.features == found.verdict.features


def test_late_rows_replace_the_entry_of_their_window(
    baseline: Baseline, story: list[tuple[int, Profile, Assessment]]
) -> None:
    number, counted, _ = story[20]
    _, _, latest = story[30]
    late = assess(baseline, number, latest.evidence, counted + profile(baseline, 77, rows=50))
    assert late.evidence.starts == latest.evidence.starts
    assert sum(late.evidence.rows) == sum(latest.evidence.rows) + 50


def test_columns_that_go_together_otherwise_are_found(baseline: Baseline) -> None:
    found = assess(baseline, 0, EMPTY, profile(baseline, 0, rows=1500, together=0.5)).verdict
    assert found.joint is not None and found.joint.verdict == "drift"
    assert {found.joint.pairs[0].first, found.joint.pairs[0].second} == {"amount", "age"}
    assert {f.verdict for f in found.features} == {"ok"}
    assert found.alarm


def test_predictions_are_described_by_their_own_distribution(baseline: Baseline) -> None:
    found = assess(baseline, 0, EMPTY, profile(baseline, 0)).verdict
    (shift,) = found.predictions
    assert shift.name == "score"
    assert sum(one.window for one in shift.classes) == pytest.approx(1.0)


def test_a_drift_is_traced_to_the_segment_that_carries_it(baseline: Baseline) -> None:
    found = columns(3000, seed=5)
    codes = found["region"].codes
    assert codes is not None
    amount = found["amount"]
    assert amount.numbers is not None
    found["amount"] = replace(amount, numbers=amount.numbers + 1.5 * (codes == 0))
    counted = profile_columns(baseline.spec, found, rows=3000)
    verdict = assess(baseline, 0, EMPTY, counted).verdict
    (drifted,) = verdict.drifted_inputs
    assert [(s.column, s.category) for s in drifted.segments] == [("region", "north")]


def test_what_is_switched_off_is_not_said(baseline: Baseline) -> None:
    off = DecisionSettings.model_validate(
        {"persistence": {"enabled": False}, "joint": {"enabled": False}, "clustering": "none"}
    )
    rules = Rules(decision=off)
    assert not rules.keeps_evidence
    found = assess(baseline, 0, EMPTY, profile(baseline, 0), rules=rules)
    assert (found.verdict.persistent, found.verdict.joint) == (None, None)
    assert found.evidence == EMPTY


def test_strict_mode_is_model_monitors_decision_and_nothing_else(baseline: Baseline) -> None:
    rules = Rules(mode="strict", references=(ReferenceSettings(kind="trailing"),))
    found = assess(baseline, 0, EMPTY, profile(baseline, 0, shift=2.0), rules=rules)
    verdict = found.verdict
    assert verdict.mode == "strict"
    assert (verdict.persistent, verdict.joint) == (None, None)
    assert (verdict.references, verdict.predictions) == ((), ())
    assert found.evidence == EMPTY
    assert not rules.keeps_evidence


def test_windows_that_vary_more_than_their_rows_are_judged_by_that(baseline: Baseline) -> None:
    # Every day has a level of its own, as weather has: its mean is off by 0.3 deviations.
    levels = np.random.default_rng(3).normal(0.0, 0.3, 40)

    def alarms(clustering: str) -> int:
        rules = Rules(
            decision=DecisionSettings.model_validate({"clustering": clustering}),
        )
        evidence, count = EMPTY, 0
        for number, level in enumerate(levels.tolist()):
            found = assess(
                baseline, number, evidence, profile(baseline, number, shift=level), rules=rules
            )
            evidence = found.evidence
            count += number >= 10 and bool(found.verdict.drifted_inputs)
        return count

    independent, learnt = alarms("none"), alarms("windows")
    assert independent >= 10
    assert learnt <= independent / 4


def test_evidence_of_a_season_is_seasonal(baseline: Baseline) -> None:
    # Two days a week are off; nothing else is in the evidence.
    rules = Rules(references=(ReferenceSettings(kind="season", period=timedelta(days=7)),))
    evidence = EMPTY
    past: dict[Window, Profile] = {}
    verdicts = []
    for number in range(28):
        counted = profile(baseline, number, shift=1.0 if number % 7 in (5, 6) else 0.0)
        found = assess(baseline, number, evidence, counted, rules=rules, past=past)
        evidence = found.evidence
        past[window(number)] = counted
        verdicts.append(found.verdict)
    off = [v for n, v in enumerate(verdicts) if n % 7 in (5, 6)]
    assert [bool(v.drifted_inputs) for v in off] == [True] * 2 + [False] * 6
    assert all(v.features[1].verdict == "seasonal" for v in off[2:])
    for verdict in off[2:]:
        assert verdict.persistent is not None
        assert verdict.persistent.verdict != "drift"


def test_windows_judged_together_count_once(baseline: Baseline) -> None:
    rehearsal = Rehearsal(baseline=baseline, rules=Rules(), monitor="m", variant="v", length=DAY)
    parts = [
        ProfiledWindow(window=window(n), profile=profile(baseline, n, shift=0.25))
        for n in range(12)
    ]
    history = [rehearsal.judge(part) for part in parts]
    whole = rehearsal.judge_together(
        whole_of(parts, baseline.spec), Window(window(0).start, window(11).end)
    )
    assert whole.rows == 12 * 600
    assert whole.persistent is not None and history[-1].persistent is not None
    assert whole.persistent.value == history[-1].persistent.value
    assert whole.persistent.windows == 12


def test_a_verdict_in_full_survives_its_file(baseline: Baseline) -> None:
    rules = Rules(
        features={"age": FeatureSettings(importance=2.0)},
        references=(ReferenceSettings(kind="trailing"),),
    )
    past = {window(n): profile(baseline, n) for n in range(4)}
    counted = profile(baseline, 4, shift=1.0)
    verdict: WindowVerdict = assess(baseline, 4, EMPTY, counted, rules=rules, past=past).verdict
    assert verdict.references[0].windows == 4
    assert decode_verdict(encode_verdict(verdict)) == verdict
