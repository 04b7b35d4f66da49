"""Published numbers on sequential tests, and how often experiments err by simulation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.experiment_runs import (
    judge_series,
    mean_rows,
    peeking,
    percent,
    planned,
    rates,
    run,
)
from benchmarks.experiment_simulation import TABLES, harm, harm_plans
from driftgauge.experiments.arms import Arm, sums_of_rate
from driftgauge.experiments.blocks import Block, Series, blocks_of
from driftgauge.experiments.boundaries import chance_of_crossing, stage_constant
from driftgauge.experiments.design import Design
from driftgauge.experiments.sequential import log_mixture, mixture_bound
from tests.unit.experiment_world import HOUR, START, judged

RUNS = 1000


@pytest.fixture(scope="module")
def known(shared: Path) -> Any:
    return json.loads((shared / "known_answers" / "sequential_tests.json").read_text())


def tuned(variance: float, alpha: float) -> float:
    """Return the scale that makes the two-sided bound tightest at a variance of the sum."""
    threshold = 2.0 * math.log(1.0 / alpha)
    return 1.0 / math.sqrt(variance / (threshold + math.log(1.0 + threshold)))


def test_the_mixture_has_the_reference_implementations_values(known: Any) -> None:
    cases = {case["fn"]: case["expected"] for case in known["cases"]}
    tolerance = known["tol"]
    # A sum of 10 with variance 100 is one standard error; the mean of 100 such rows has 1 / 100.
    z, variance = np.array([1.0]), np.array([0.01])
    one = log_mixture(z, variance, (tuned(100, 0.10),))[0]
    assert one == pytest.approx(cases["normal_log_mixture(10,100,v_opt=100) one-sided"], tolerance)
    bound = 10.0 * mixture_bound(0.05, variance, (tuned(100, 0.10),))[0]
    assert bound == pytest.approx(cases["normal_mixture_bound(100,.05,100) one-sided"], tolerance)
    # Without the factor 2 Phi(y) it is the two-sided mixture.
    scale = tuned(100, 0.05)
    y = math.sqrt(scale**2 / (0.01 + scale**2))
    two = log_mixture(z, variance, (scale,))[0] - math.log(1.0 + math.erf(y / math.sqrt(2.0)))
    name = "normal_log_mixture(s=10,v=100,v_opt=100,alpha_opt=.05,one_sided=False)"
    assert two == pytest.approx(cases[name], tolerance)
    name = "normal_mixture_bound(v=100,alpha=.05,v_opt=100,alpha_opt=.05,one_sided=False)"
    both = 10.0 * mixture_bound(0.025, variance, (scale,))[0]
    assert both == pytest.approx(cases[name], 3e-4)


def test_boundaries_of_stages_have_the_tabulated_constants(known: Any) -> None:
    tables = known["group_sequential"]
    for method, table in (
        ("pocock", tables["pocock_z"]),
        ("obrien_fleming", tables["obrien_fleming_final_z"]),
    ):
        for stages, constant in table.items():
            assert stage_constant(method, int(stages), 0.05) == pytest.approx(constant, abs=6e-4)


def test_repeated_z_tests_err_as_often_as_published(known: Any) -> None:
    for looks, chance in known["peeking"]["type1"].items():
        assert chance_of_crossing("pocock", int(looks), 1.959964) == pytest.approx(chance, abs=6e-4)


def test_what_is_planned_has_the_known_power() -> None:
    # 20,000 rows an arm, 100 looks, .10 against .11 and .12.
    found = {}
    for method in ("fixed", "obrien_fleming", "msprt"):
        design = Design(
            method=method,
            stages=5,
            alpha_better=0.025,
            alpha_worse=0.025,
            alpha_no_gain=1e-9,
            effect=0.01,
            deviation=math.sqrt(0.105 * 0.895),
        )
        found[method] = design.power(10_000.0)
    assert found["fixed"] == pytest.approx(0.905, abs=0.01)
    assert found["obrien_fleming"] == pytest.approx(0.90, abs=0.01)
    assert found["msprt"] == pytest.approx(0.69, abs=0.01)
    clear = Design(
        method="msprt",
        stages=1,
        alpha_better=0.025,
        alpha_worse=0.025,
        alpha_no_gain=0.01,
        effect=0.02,
        deviation=math.sqrt(0.11 * 0.89),
    )
    assert clear.power(10_000.0) > 0.99
    assert 2.0 * clear.expected(10_000.0, 0.02) < 5000


def test_peeking_at_a_z_test_finds_winners_where_there_is_none() -> None:
    found = peeking(rates(0.1, 0.1), seed=21, runs=RUNS)
    assert 0.33 <= found / RUNS <= 0.42


@pytest.mark.parametrize(
    ("method", "clustering", "most"),
    [("msprt", "none", 0.038), ("msprt", "blocks", 0.03), ("empirical_bernstein", "none", 0.02)],
)
def test_always_valid_tests_rarely_find_a_winner_where_there_is_none(
    method: Any, clustering: Any, most: float
) -> None:
    plan = planned(0.1, 0.02, method=method, clustering=clustering, information=1e4)
    found = run(rates(0.1, 0.1), plan, seed=22, runs=RUNS).decided()
    assert found / RUNS <= most


def test_the_difference_of_a_fifth_is_found_with_less_than_five_thousand_rows() -> None:
    plan = planned(0.1, 0.02, information=1e4)
    ends = run(rates(0.1, 0.12), plan, seed=23, runs=RUNS)
    assert ends.won() / RUNS >= 0.99
    assert ends.rows().mean() <= 5000


def test_clustered_rows_do_not_make_winners() -> None:
    plan = planned(0.1, 0.02, clustering="blocks", information=1e4)
    for effect in (2.0, 5.0):
        draw = rates(0.1, 0.1, design_effect=effect)
        assert run(draw, plan, seed=24, runs=RUNS).decided() / RUNS <= 0.055


def test_a_harmful_canary_is_found_within_a_tenth_of_its_traffic() -> None:
    for (name, rule, plan), share in zip(harm_plans(), (0.95, 0.99, 0.99, 0.91, 0.99), strict=True):
        rows = round(plan.requests * plan.share / 1000)
        draw = rates(0.1, 0.12, rows=(9 * rows, rows), looks=100)
        ends = run(draw, plan, seed=25, runs=RUNS, rule=rule)
        assert ends.harmed() / RUNS >= share, name


def test_the_simulation_ends_runs_at_the_look_at_which_the_engine_does() -> None:
    rng = np.random.default_rng(26)
    plan = planned(0.1, 0.02, clustering="blocks", information=5e3)
    seen = set()
    for rate in (0.1, 0.125, 0.04):
        series = rates(0.1, rate, looks=50)(rng, 1)
        ends = judge_series(series, plan.primary, plan)
        first = int(min(ends.better[0], ends.harm[0], ends.no_gain[0], 49))
        before, at = (_verdict(series, looks, plan) for looks in (first, first + 1))
        assert before in ("open", "insufficient_data")
        expected = {
            int(ends.no_gain[0]): "no_gain",
            int(ends.better[0]): "better",
            int(ends.harm[0]): "harm",
        }
        assert at == expected.get(first, "open")
        seen.add(at)
    assert {"better", "harm"} <= seen


def _verdict(series: Series, looks: int, plan: Any) -> str:
    def arm(rows: float, hits: float) -> Arm:
        return Arm(requests=int(rows), metrics={"rate": sums_of_rate(int(hits), int(rows))})

    found = blocks_of(
        Block(
            start=START + i * HOUR,
            share=0.5,
            champion=arm(series.champion_rows[0, i], series.champion_sums[0, i]),
            challenger=arm(series.challenger_rows[0, i], series.challenger_sums[0, i]),
        )
        for i in range(looks)
    )
    return judged(found, plan).primary.outcome


def test_the_tables_of_the_simulation_can_be_made() -> None:
    for name, rows in (("ramps", 2), ("mismatches", 6), ("coverage", 3)):
        assert TABLES[name](20).row_count == rows
    assert harm(20).row_count == 5
    assert TABLES["decisions"](1).row_count == 5
    assert percent(1, 4).startswith("25.00 % (")
    assert mean_rows(np.array([1.0, 3.0])) == "2 ± 1"
