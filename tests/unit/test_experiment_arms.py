"""What the arms of an experiment are made of."""

from __future__ import annotations

import zlib
from datetime import datetime

import msgspec
import numpy as np
import pytest

from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import (
    Arm,
    Sums,
    arm_of_outcomes,
    sums_of_feature,
    sums_of_outcomes,
    sums_of_rate,
    sums_of_values,
)
from driftgauge.experiments.blocks import Block, Blocks, blocks_of
from driftgauge.experiments.codec import decode_blocks, encode_blocks
from driftgauge.profile.build import profile_columns
from driftgauge.profile.spec import FeatureSpec, ProfileSpec
from driftgauge.quality.counts import count_outcomes
from driftgauge.quality.metrics import measure
from driftgauge.quality.spec import specify_outcomes
from tests.unit.experiment_world import START, arm, blocks
from tests.unit.quality_world import binary, multiclass, regression


def test_a_rate_has_the_mean_and_variance_of_its_zeros_and_ones() -> None:
    sums = sums_of_rate(30, 120)
    values = np.repeat([1.0, 0.0], [30, 90])
    assert sums == sums_of_values(values)
    assert sums.mean == 0.25
    assert sums.variance == pytest.approx(values.var(ddof=1))
    assert (Sums().mean, sums_of_rate(1, 1).variance) == (None, None)
    with pytest.raises(ExperimentError, match="3 hits in 2 trials"):
        sums_of_rate(3, 2)


def test_sums_are_exact_where_floats_would_cancel() -> None:
    sums = sums_of_values(np.array([1e16, 1.0, -1e16, 1e200, np.inf, np.nan]))
    assert sums.rows == 3
    assert sums.mean == pytest.approx(1 / 3)
    near = sums_of_values(1e9 + np.array([0.0, 0.5, 1.0]))
    assert near.variance == 0.25
    assert near.about(1e9 + 0.5) == (0.0, 0.5)


def test_outcomes_give_every_measure_that_is_a_mean() -> None:
    outcomes = binary(500, seed=5, segment=True)
    counts = count_outcomes(specify_outcomes(outcomes), outcomes)
    found = arm_of_outcomes(counts, requests=480, others={"errors": sums_of_rate(1, 480)})
    known = measure(counts)
    for name in ("accuracy", "recall", "precision", "brier_score", "log_loss"):
        sums = found.of(name)
        assert sums.mean == pytest.approx(known[name].value)
        assert sums.variance is not None
        error = (sums.variance * (sums.rows - 1) / sums.rows / sums.rows) ** 0.5
        assert error == pytest.approx(known[name].standard_error)
    assert found.of("errors").rows == found.requests == 480
    assert found.of("auc") == Sums()
    parts = [metrics["accuracy"].rows for metrics in found.segments.values()]
    assert 0 < sum(parts) <= found.of("accuracy").rows


def test_a_regression_gives_its_errors_and_several_classes_their_accuracy() -> None:
    outcomes = regression(300, seed=1)
    counts = count_outcomes(specify_outcomes(outcomes), outcomes)
    sums = sums_of_outcomes(counts)
    assert sums["mae"].mean == pytest.approx(measure(counts)["mae"].value)
    assert sums["mse"].mean == pytest.approx(measure(counts)["mse"].value)
    several = multiclass(300, seed=1)
    counts = count_outcomes(specify_outcomes(several), several)
    assert sums_of_outcomes(counts)["accuracy"].mean == measure(counts)["accuracy"].value
    assert "recall" not in sums_of_outcomes(counts)


def test_a_profile_gives_a_mean_without_labels() -> None:
    values = np.array([0.25, 0.5, np.nan, 1.5])
    spec = ProfileSpec(
        version="v",
        features=(
            FeatureSpec(
                name="score",
                role="output",
                kind="numeric",
                inferred_type="Fractional",
                edges=(0.0, 1.0),
                center=0.4,
            ),
        ),
    )
    column = Column(numbers=values, types=TypeCounts(fractional=3), missing=np.isnan(values))
    profile = profile_columns(spec, {"score": column}, rows=4)
    sums = sums_of_feature(profile.feature("score"))
    assert sums["mean of score"].rows == 3
    assert sums["mean of score"].mean == 0.75
    assert sums["mean of score"].variance == pytest.approx(np.nanvar(values, ddof=1))
    assert sums["missing score"].mean == 0.25
    empty = profile_columns(spec, {}, rows=2)
    assert list(sums_of_feature(empty.feature("score"))) == ["missing score"]


def test_a_block_needs_both_arms_and_a_time_zone() -> None:
    with pytest.raises(ExperimentError, match="both arms receive some"):
        Block(start=START, share=1.0, champion=Arm(), challenger=Arm())
    with pytest.raises(ExperimentError, match="has no zone"):
        Block(start=datetime(2026, 1, 1), share=0.5, champion=Arm(), challenger=Arm())


def test_blocks_of_one_start_must_have_one_share() -> None:
    one = blocks(1, arm(10, {}), arm(10, {}), share=0.5)
    other = blocks(1, arm(10, {}), arm(10, {}), share=0.4)
    with pytest.raises(ExperimentError, match="begin a block where the weights change"):
        one + other


def test_a_series_does_not_depend_on_how_large_the_values_are() -> None:
    def block(offset: float) -> Blocks:
        arms = [
            Arm(metrics={"m": sums_of_values(offset + np.array(values))})
            for values in ([1.0, 2.0, 4.0], [2.0, 3.0])
        ]
        return blocks_of([Block(start=START, share=0.5, champion=arms[0], challenger=arms[1])])

    small, large = block(0.0).series("m"), block(2.0**40).series("m")
    assert large.center == pytest.approx(2.0**40 + 2.4)
    for name in ("champion_sums", "champion_squares", "challenger_sums", "challenger_squares"):
        np.testing.assert_allclose(getattr(large, name), getattr(small, name), atol=1e-3)


def test_blocks_are_read_as_they_were_written() -> None:
    found = blocks(3, arm(100, {"accuracy": 0.93}, segment=0.5), arm(80, {"errors": 0.1}))
    assert decode_blocks(encode_blocks(found)) == found
    assert len(encode_blocks(found)) < 1000


def _raw(document: object) -> bytes:
    return b"DGXB\x01" + zlib.compress(msgspec.msgpack.encode(document))


EMPTY_ARM = [0, {}, []]
TIME = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"DGXB\x02",
        b"DGXB\x01abc",
        encode_blocks(blocks(3, Arm(), Arm()))[:-4],
        _raw({}),
        _raw([["yesterday", 0.5, EMPTY_ARM, EMPTY_ARM]]),
        _raw([[TIME, 1.5, EMPTY_ARM, EMPTY_ARM]]),
        _raw([[TIME, 0.5, [-1, {}, []], EMPTY_ARM]]),
        _raw([[TIME, 0.5, [1, {"m": [-1, [0, b""], [0, b""]]}, []], EMPTY_ARM]]),
        _raw([[TIME, 0.5, [1, {"m": [1, [5000, b"\x01"], [0, b""]]}, []], EMPTY_ARM]]),
    ],
)
def test_damaged_blocks_are_refused(data: bytes) -> None:
    with pytest.raises(ExperimentError):
        decode_blocks(data)
