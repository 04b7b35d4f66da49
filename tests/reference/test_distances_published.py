"""Distances against published numbers and closed forms, in the shared reference data."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.baseline import build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings
from driftgauge.drift import deequ
from driftgauge.drift.decision import judge_features
from driftgauge.drift.distances import (
    hellinger,
    jensen_shannon_distance,
    jensen_shannon_divergence,
    ks,
    l_infinity,
    normalized_difference,
    psi,
    psi_bias,
    wasserstein_1,
)
from driftgauge.drift.special import chi_squared_sf, normal_isf, normal_sf
from driftgauge.profile.build import profile_columns

DECILES = [-math.inf, *(-normal_isf(k / 10) for k in range(1, 10)), math.inf]


def cases(shared: Path, name: str) -> Any:
    document = json.loads((shared / "known_answers" / name).read_text(encoding="utf-8"))
    return document["cases"] if isinstance(document, dict) else document


def normal_masses(edges: list[float], mean: float, sd: float) -> NDArray[np.float64]:
    above = np.array([normal_sf((edge - mean) / sd) for edge in edges])
    return -np.diff(above)


def side_by_side(a: dict[str, float], b: dict[str, float]) -> tuple[list[float], list[float]]:
    names = sorted({*a, *b})
    return [a.get(name, 0.0) for name in names], [b.get(name, 0.0) for name in names]


def test_distances_of_normals_approach_their_closed_forms_on_a_fine_grid(shared: Path) -> None:
    grid = np.linspace(-12.0, 12.0, 6001)
    edges = [-math.inf, *grid.tolist(), math.inf]
    positions = np.concatenate([[grid[0] - 0.002], (grid[1:] + grid[:-1]) / 2, [grid[-1] + 0.002]])
    for case in cases(shared, "closed_form_normal.json"):
        mean, sd = case.get("mean_shift_sigma", 0.0), case.get("sd_ratio", 1.0)
        p, q = normal_masses(edges, 0.0, 1.0), normal_masses(edges, mean, sd)
        # Deep in the tails both masses round to zero or to noise; they carry nothing.
        kept = (p > 1e-15) & (q > 1e-15)
        assert psi(p[kept], q[kept], smoothing=0.0) == pytest.approx(
            case["psi_continuous"], rel=5e-3
        )
        assert hellinger(p, q) == pytest.approx(case["hellinger"], rel=1e-3)
        if "kl" in case:
            # Normals of one variance: both directions of the divergence are the same.
            assert psi(p[kept], q[kept], smoothing=0.0) / 2 == pytest.approx(case["kl"], rel=5e-3)
            coefficient = -math.log(1.0 - hellinger(p, q) ** 2)
            assert coefficient == pytest.approx(case["bhattacharyya"], rel=2e-3)
        assert wasserstein_1(p, q, positions) == pytest.approx(case["wasserstein_1"], rel=1e-3)
        if "ks_D" in case:
            assert ks(p, q) == pytest.approx(case["ks_D"], rel=1e-4)


def test_psi_and_jensen_shannon_on_ten_deciles_match_the_population_values(shared: Path) -> None:
    for case in cases(shared, "closed_form_normal.json"):
        mean, sd = case.get("mean_shift_sigma", 0.0), case.get("sd_ratio", 1.0)
        p, q = normal_masses(DECILES, 0.0, 1.0), normal_masses(DECILES, mean, sd)
        expected = case["psi_10_reference_deciles_population"]
        assert psi(p, q, smoothing=0.0) == pytest.approx(expected, rel=1e-9)
        if "js_distance_base2_10_deciles" in case:
            expected = case["js_distance_base2_10_deciles"]
            assert jensen_shannon_distance(p, q) == pytest.approx(expected, rel=1e-9)


def test_sampled_normals_reach_their_closed_forms(shared: Path) -> None:
    rng = np.random.default_rng(20150701)
    rows = 200_000
    baseline = np.sort(rng.standard_normal(rows))
    edges = baseline[np.arange(1, 256) * rows // 256]
    counts = np.bincount(np.searchsorted(edges, baseline, side="right"), minlength=256)
    for case in cases(shared, "closed_form_normal.json"):
        if case.get("mean_shift_sigma") not in (0.5, 1.0):
            continue
        moved = rng.standard_normal(rows) + case["mean_shift_sigma"]
        window = np.bincount(np.searchsorted(edges, moved, side="right"), minlength=256)
        # 256 quantile bins lose the far tail: the closed form is an upper limit.
        assert psi(counts, window) == pytest.approx(case["psi_continuous"], rel=0.05)
        assert ks(counts, window) == pytest.approx(case["ks_D"], rel=0.02)
        assert hellinger(counts, window) == pytest.approx(case["hellinger"], rel=0.02)


def test_deequ_categorical_distances_match_its_test_suite(shared: Path) -> None:
    matched = 0
    for case in cases(shared, "deequ_distance.json"):
        if not case["stat"].startswith("l_infinity"):
            continue
        simple = deequ.categorical_distance(case["a"], case["b"])
        m, n = sum(case["a"].values()), sum(case["b"].values())
        robust = deequ.robust(simple, n, m, alpha=case["alpha"])
        found = robust if case["stat"].endswith("robust") else simple
        assert found == pytest.approx(case["expected"], abs=case["tol"]), case["id"]
        if not case["stat"].endswith("robust"):
            assert l_infinity(*side_by_side(case["a"], case["b"])) == pytest.approx(simple)
        matched += 1
    assert matched == 6


def test_deequ_numeric_distances_match_its_test_suite(shared: Path) -> None:
    matched = 0
    for case in cases(shared, "deequ_distance.json"):
        if not case["stat"].startswith("ks_statistic"):
            continue
        distance = deequ.numeric_distance(case["a"], case["b"])
        if "robust" in case["stat"]:
            distance = deequ.robust(distance, len(case["b"]), len(case["a"]))
        assert distance == pytest.approx(case["expected"], abs=1e-12), case["id"]
        matched += 1
    assert matched == 2


def test_deequ_chi_squared_regrouping_matches_its_test_suite(shared: Path) -> None:
    matched = 0
    for case in cases(shared, "deequ_distance.json"):
        if not case["stat"].startswith("chi2"):
            continue
        statistic, p_value = deequ.chi_squared_test(case["sample"], case["expected_counts"])
        found = statistic if case["returns"] == "statistic" else p_value
        if case["expected_is_nan"]:
            assert math.isnan(found), case["id"]
        else:
            assert found == pytest.approx(case["expected"], abs=case["tol"]), case["id"]
        matched += 1
    assert matched == 11


def test_psi_without_smoothing_matches_the_published_deciles(shared: Path) -> None:
    (case,) = [c for c in cases(shared, "deequ_distance.json") if c["stat"] == "psi"]
    found = psi(case["expected_counts"], case["actual_counts"], smoothing=0.0)
    assert found == pytest.approx(case["expected"], abs=case["tol"])


def test_tfdv_distances_match_its_test_suite(shared: Path) -> None:
    matched = 0
    for case in cases(shared, "tfdv_metrics.json"):
        if "tol" not in case:
            continue
        if case["stat"] == "l_infinity" and case["a"]:
            found = l_infinity(*side_by_side(case["a"], case["b"]))
        elif case["stat"] == "l_infinity":
            # Two empty sides: only Deequ's form, on mappings, gives them a distance.
            found = deequ.categorical_distance(case["a"], case["b"])
        elif case["stat"].startswith("max|a-b|"):
            found = normalized_difference(*side_by_side(case["a"], case["b"]))
        elif case["stat"].startswith("jensen_shannon"):
            found = jensen_shannon_divergence(case["aligned_p"], case["aligned_q"])
        else:
            continue
        assert found == pytest.approx(case["expected"], abs=case["tol"]), case["id"]
        matched += 1
    assert matched == 13


def test_an_empty_histogram_is_an_error_as_in_tfdv() -> None:
    with pytest.raises(ValueError, match="at least one count"):
        jensen_shannon_divergence([0, 0], [1, 2])


def test_one_outlier_in_ten_thousand_rows_is_no_distance_on_quantile_bins() -> None:
    a = np.random.default_rng(44).standard_normal(10_000)
    b = np.append(a, 1e8)
    for bins, limit in ((10, 0.15), (100, 0.02)):
        edges = np.quantile(a, np.arange(1, bins) / bins)
        p, q = (
            np.bincount(np.searchsorted(edges, x, side="right"), minlength=bins) for x in (a, b)
        )
        assert jensen_shannon_divergence(p, q) < limit


def test_the_null_distribution_of_psi_matches_the_published_simulation(shared: Path) -> None:
    # The published figures floor each share at 1e-4, where this program adds half a count.
    rng = np.random.default_rng(7)
    repetitions, checked = 800, 0
    for case in cases(shared, "psi_null_simulation.json"):
        bins, m, n = int(case["B"]), int(case["n_ref"]), int(case["n_win"])
        share = np.full(bins, 1.0 / bins)
        baselines = np.maximum(rng.multinomial(m, share, repetitions) / m, 1e-4)
        windows = np.maximum(rng.multinomial(n, share, repetitions) / n, 1e-4)
        values = [psi(b, a, smoothing=0.0) for b, a in zip(baselines, windows, strict=True)]
        assert psi_bias(bins, m, n) == pytest.approx(case["formula"], rel=1e-9)
        assert float(np.mean(values)) == pytest.approx(case["mean"], rel=0.08)
        # Where cells are often empty, the upper quantile lies between two of their numbers.
        sparse = n / bins < 8
        if not sparse:
            assert float(np.quantile(values, 0.95)) == pytest.approx(case["p95"], rel=0.12)
        for threshold in ("0.1", "0.2", "0.25"):
            found = float(np.mean([value > float(threshold) for value in values]))
            expected = case[f"P_gt_{threshold}"]
            error = math.sqrt(max(expected * (1.0 - expected), 1.0 / repetitions) / repetitions)
            assert found == pytest.approx(expected, abs=4.5 * error)
        quantile = case["chi2_p95"] / (1.0 / n + 1.0 / m)
        assert chi_squared_sf(quantile, bins - 1) == pytest.approx(0.05, rel=1e-6)
        checked += 1
    assert checked == 54


def test_half_a_count_keeps_psi_near_its_formula_where_cells_are_sparse(shared: Path) -> None:
    rng = np.random.default_rng(8)
    for case in cases(shared, "psi_null_simulation.json"):
        bins, m, n = int(case["B"]), int(case["n_ref"]), int(case["n_win"])
        if m != 10_000 or n / bins < 10:
            continue
        share = np.full(bins, 1.0 / bins)
        baselines, windows = rng.multinomial(m, share, 500), rng.multinomial(n, share, 500)
        values = [psi(b, a) for b, a in zip(baselines, windows, strict=True)]
        assert float(np.mean(values)) == pytest.approx(psi_bias(bins, m, n), rel=0.1)


def test_equally_many_missing_values_are_no_distance_unlike_in_tfdv(shared: Path) -> None:
    (case,) = [c for c in cases(shared, "tfdv_metrics.json") if c["id"] == "tfdv_js_nan_vs_self"]
    assert case["expected"] == 1.0  # TFDV: what is not a number never equals itself
    missing = np.arange(1000) % 4 == 0
    values = np.where(missing, np.nan, np.random.default_rng(9).standard_normal(1000))
    column = Column(numbers=values, types=TypeCounts(fractional=750), missing=missing)
    table = Table(rows=1000, columns={"x": column})
    baseline = build_baseline([table], version="1", created=datetime(2015, 7, 1, tzinfo=UTC))
    (verdict,) = judge_features(
        baseline=baseline.profile,
        profile=profile_columns(baseline.spec, {"x": column}, rows=1000),
        decision=DecisionSettings(),
        features={},
    )
    assert verdict.verdict == "ok"
    assert verdict.missing_p_value == 1.0
    assert verdict.missing_effect is not None
    assert verdict.missing_effect <= 0.0
