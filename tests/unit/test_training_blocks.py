"""Dispersion learnt from the training data, before there are windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.baseline import Baseline, build_baseline, decode_baseline, encode_baseline
from driftgauge.capture.table import Table
from driftgauge.checks.constraints import encode_constraints
from driftgauge.columns import Column, TypeCounts
from driftgauge.drift.evidence import EvidenceState, dispersions
from driftgauge.drift.joint import judge_joint
from driftgauge.drift.training_blocks import decode_blocks, encode_blocks
from driftgauge.profile.build import profile_columns
from driftgauge.settings import DecisionSettings, PersistenceSettings

ROWS = 12_800
CLUSTER = 200
START = datetime(2015, 4, 1, tzinfo=UTC)


def column(values: NDArray[np.float64]) -> Column:
    return Column(numbers=values, types=TypeCounts(fractional=values.shape[0]))


def clustered(rows: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Draw clusters of 200 rows: half of x's variance, and the sign of its correlation with y."""
    cluster = np.arange(rows) // CLUSTER
    count = int(cluster[-1]) + 1
    x = (rng.standard_normal(count)[cluster] + rng.standard_normal(rows)) / np.sqrt(2.0)
    sign = rng.choice([-0.8, 0.8], count)[cluster]
    own = rng.standard_normal(rows)
    y = rng.standard_normal(rows)
    z = sign * y + 0.6 * own
    return {"x": x, "y": y, "z": z}


def baseline_of(values: dict[str, NDArray[np.float64]]) -> Baseline:
    rows = next(iter(values.values())).shape[0]
    columns = {name: column(array) for name, array in values.items()}
    return build_baseline([Table(rows=rows, columns=columns)], version="v", created=START)


@pytest.fixture(scope="module")
def in_order() -> Baseline:
    return baseline_of(clustered(ROWS, np.random.default_rng(1)))


@pytest.fixture(scope="module")
def shuffled() -> Baseline:
    values = clustered(ROWS, np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(ROWS)
    return baseline_of({name: array[order] for name, array in values.items()})


def first_dispersions(baseline: Baseline, rows: int) -> dict[str, float]:
    assert baseline.blocks is not None
    return dispersions(
        EvidenceState.empty("v"),
        baseline=baseline.profile,
        before=START,
        settings=PersistenceSettings(),
        training=baseline.blocks.of_size(rows),
    )


def test_rows_in_order_teach_their_clusters_before_the_first_window(in_order: Baseline) -> None:
    found = first_dispersions(in_order, 800)
    # Within a cluster rows correlate by a half: 1 + 199 / 2 times the variance of the mean.
    assert 30.0 < found["x"] < 200.0
    assert found["y"] < 2.0


def test_shuffled_rows_show_no_clusters(shuffled: Baseline) -> None:
    assert all(factor < 2.0 for factor in first_dispersions(shuffled, 800).values())


def test_windows_too_large_for_eight_of_them_learn_nothing(in_order: Baseline) -> None:
    assert in_order.blocks is not None
    assert in_order.blocks.of_size(ROWS // 8) is not None
    assert in_order.blocks.of_size(ROWS // 4) is None
    found = dispersions(
        EvidenceState.empty("v"),
        baseline=in_order.profile,
        before=START,
        settings=PersistenceSettings(),
        training=None,
    )
    assert set(found.values()) == {1.0}


def test_few_training_rows_have_no_blocks() -> None:
    small = baseline_of(clustered(300, np.random.default_rng(3)))
    assert small.blocks is None
    assert small.clusters is None


def test_correlations_that_change_from_cluster_to_cluster_are_hardly_ever_a_joint_drift(
    in_order: Baseline, shuffled: Baseline
) -> None:
    rng = np.random.default_rng(4)
    alarms = {"in order": 0, "shuffled": 0}
    for _ in range(20):
        values = clustered(800, rng)
        columns = {name: column(array) for name, array in values.items()}
        for name, baseline in (("in order", in_order), ("shuffled", shuffled)):
            profile = profile_columns(baseline.spec, columns, rows=800)
            verdict = judge_joint(
                baseline=baseline, profile=profile, settings=DecisionSettings(), features={}
            )
            alarms[name] += verdict.verdict == "drift"
    # Four clusters of one sign come by in one window of eight.
    assert alarms["in order"] <= 4
    assert alarms["shuffled"] >= 16


def test_a_joint_change_is_still_found_where_rows_are_independent() -> None:
    rng = np.random.default_rng(5)
    baseline = baseline_of({name: rng.standard_normal(ROWS) for name in ("a", "b", "c")})
    assert baseline.clusters is not None
    assert float(np.median(baseline.clusters.association)) < 1.5
    a = rng.standard_normal(1000)
    moved = {"a": a, "b": 0.5 * a + np.sqrt(0.75) * rng.standard_normal(1000)}
    moved["c"] = rng.standard_normal(1000)
    profile = profile_columns(
        baseline.spec, {name: column(array) for name, array in moved.items()}, rows=1000
    )
    verdict = judge_joint(
        baseline=baseline, profile=profile, settings=DecisionSettings(), features={}
    )
    assert verdict.verdict == "drift"


def test_blocks_travel_with_the_baseline(in_order: Baseline) -> None:
    assert in_order.blocks is not None
    assert in_order.clusters is not None
    again = decode_baseline(
        encode_baseline(in_order),
        constraints=encode_constraints(in_order.constraints),
        statistics=in_order.statistics,
    )
    assert again.blocks is not None
    assert again.clusters is not None
    np.testing.assert_allclose(again.blocks.sums, in_order.blocks.sums, rtol=1e-6)
    np.testing.assert_allclose(again.clusters.association, in_order.clusters.association, rtol=1e-6)
    assert first_dispersions(again, 800)["x"] == pytest.approx(
        first_dispersions(in_order, 800)["x"], rel=1e-4
    )


def test_blocks_that_do_not_fit_are_an_error(in_order: Baseline) -> None:
    assert in_order.blocks is not None
    short = replace(in_order.blocks, sums=in_order.blocks.sums[:, :-1])
    with pytest.raises(ValueError, match="do not fit"):
        decode_blocks(encode_blocks(short), in_order.profile)


def test_the_dispersions_lie_between_those_of_the_sizes_known(in_order: Baseline) -> None:
    assert in_order.clusters is not None
    sizes = in_order.clusters.rows
    low, _, _ = in_order.clusters.at(int(sizes[0]))
    between, _, _ = in_order.clusters.at(int((sizes[0] * sizes[1]) ** 0.5))
    high, _, _ = in_order.clusters.at(int(sizes[1]))
    assert (between <= np.maximum(low, high) + 1e-9).all()
    assert (between >= np.minimum(low, high) - 1e-9).all()
    beyond, _, _ = in_order.clusters.at(int(sizes[-1]) * 10)
    assert (beyond == in_order.clusters.association[-1]).all()
