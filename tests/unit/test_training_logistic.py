"""The built-in trainer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import TrainingError
from driftgauge.training.logistic import (
    LogisticModel,
    decode_model,
    encode_model,
    train_logistic,
)

NOW = datetime(2015, 7, 8, tzinfo=UTC)


def numeric(values: NDArray[np.float64]) -> Column:
    missing = np.isnan(values)
    return Column(
        numbers=values,
        types=TypeCounts(fractional=int((~missing).sum())),
        missing=missing if missing.any() else None,
    )


def words(values: list[str]) -> Column:
    distinct = tuple(sorted({value for value in values if value}))
    codes = [distinct.index(value) if value else -1 for value in values]
    missing = np.array([not value for value in values])
    return Column(
        numbers=np.full(len(values), np.nan),
        types=TypeCounts(text=int((~missing).sum())),
        codes=np.array(codes, dtype=np.int32),
        words=distinct,
        missing=missing if missing.any() else None,
    )


def train(columns: dict[str, Column], labels: Any, **options: Any) -> LogisticModel:
    return train_logistic(
        columns, np.asarray(labels, dtype=float), version="v1", created=NOW, **options
    )


def sample(rows: int, seed: int = 7) -> tuple[dict[str, Column], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    x = random.normal(50.0, 9.0, rows)
    c = random.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2])
    odds = -1.0 + 0.1 * (x - 50.0) + np.where(c == "c", 1.5, 0.0)
    labels = (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
    x[random.random(rows) < 0.1] = np.nan
    return {"x": numeric(x), "c": words(c.tolist())}, labels


def test_newton_finds_the_optimum_that_scipy_finds() -> None:
    columns, labels = sample(800)
    model = train(columns, labels, l2=2.5)
    x = columns["x"].numbers
    known = ~np.isnan(x)
    scaled = np.where(known, (x - x[known].mean()) / x[known].std(), 0.0)
    codes = columns["c"].codes
    assert codes is not None
    one_hot = np.eye(3)[codes]
    design = np.column_stack([np.ones(800), scaled, ~known, one_hot])

    def objective(w: NDArray[np.float64]) -> float:
        odds = design @ w
        penalty = 1.25 * float((w[1:] ** 2).sum())
        return float((np.logaddexp(0, odds) - labels * odds).sum()) + penalty

    found = optimize.minimize(objective, np.zeros(6), method="BFGS", options={"gtol": 1e-6}).x
    term, category = model.numeric[0], model.categorical[0]
    ours = [model.intercept, term.weight, term.missing_weight, *category.weights.values()]
    assert ours == pytest.approx(found, abs=1e-5)
    assert category.other_weight == 0.0


def test_without_a_useful_column_the_model_says_the_share_of_positives() -> None:
    constant = {"x": numeric(np.full(40, 3.0))}
    labels = [1.0] * 10 + [0.0] * 30
    model = train(constant, labels)
    assert model.score(constant, rows=40) == pytest.approx(np.full(40, 0.25))
    assert model.log_loss == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert (model.rows, model.positives) == (40, 10)


def test_the_same_rows_give_the_same_bytes() -> None:
    columns, labels = sample(300)
    assert encode_model(train(columns, labels)) == encode_model(train(columns, labels))


def test_a_model_scores_the_same_after_storage() -> None:
    columns, labels = sample(300)
    model = train(columns, labels)
    back = decode_model(encode_model(model))
    assert back == model
    assert np.array_equal(back.score(columns, rows=300), model.score(columns, rows=300))


def test_perfectly_separable_rows_still_have_an_optimum() -> None:
    columns = {"x": numeric(np.arange(20.0))}
    model = train(columns, [0.0] * 10 + [1.0] * 10)
    scores = model.score(columns, rows=20)
    assert scores[0] < 0.05 < 0.95 < scores[-1]
    assert (np.diff(scores) > 0).all()


def test_rare_unseen_and_missing_levels_have_weights_of_their_own() -> None:
    random = np.random.default_rng(1)
    levels = ["a"] * 100 + ["b"] * 100 + ["r1"] * 15 + ["r2"] * 15 + [""] * 40
    share = {"a": 0.2, "b": 0.5, "r1": 0.8, "r2": 0.8, "": 0.05}
    labels = [float(random.random() < share[level]) for level in levels]
    model = train({"c": words(levels)}, labels, min_category_rows=20, l2=0.1)
    assert sorted(model.categorical[0].weights) == ["a", "b"]
    a, rare, unseen, missing = model.score({"c": words(["a", "r1", "zz", ""])}, rows=4)
    assert missing < a < rare
    assert unseen == rare
    assert model.score({}, rows=2).tolist() == [missing, missing]


def test_a_missing_or_infinite_number_takes_the_weight_of_its_absence() -> None:
    columns, labels = sample(500)
    model = train({"x": columns["x"]}, labels)
    odd = Column(
        numbers=np.array([np.nan, np.inf, -np.inf]),
        types=TypeCounts(fractional=2),
        missing=np.array([True, False, False]),
    )
    scores = model.score({"x": odd}, rows=3)
    expected = 1 / (1 + np.exp(-(model.intercept + model.numeric[0].missing_weight)))
    assert scores == pytest.approx(np.full(3, expected))


def test_numbers_among_words_are_levels_too() -> None:
    column = Column(
        numbers=np.array([7.0] * 50 + [np.nan] * 50),
        types=TypeCounts(integral=50, text=50),
        codes=np.array([-1] * 50 + [0] * 50, dtype=np.int32),
        words=("7A",),
    )
    model = train({"gate": column}, [1.0] * 40 + [0.0] * 10 + [0.0] * 40 + [1.0] * 10)
    assert list(model.categorical[0].weights) == ["7", "7A"]
    scores = model.score({"gate": column}, rows=100)
    assert scores[0] > 0.7
    assert scores[-1] < 0.3


def test_a_stronger_penalty_gives_smaller_weights() -> None:
    columns, labels = sample(400)
    weak, strong = (train(columns, labels, l2=l2).numeric[0].weight for l2 in (0.1, 100.0))
    assert 0 < strong < weak


@pytest.mark.parametrize(
    ("columns", "labels", "options", "message"),
    [
        ({}, [0.0, 1.0], {}, "no input column"),
        ({"x": numeric(np.zeros(3))}, [0.0, 1.0], {}, "one value per label"),
        ({"x": numeric(np.zeros(2))}, [0.0, np.nan], {}, "0 or 1"),
        ({"x": numeric(np.zeros(2))}, [1.0, 1.0], {}, "nothing to learn"),
        ({"x": numeric(np.zeros(2))}, [0.0, 1.0], {"l2": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    columns: dict[str, Column], labels: list[float], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(columns, labels, **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{}", "cannot be read"),
        (b"not json", "cannot be read"),
    ],
)
def test_a_model_that_is_none_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        decode_model(data)


def test_a_model_of_a_later_format_is_refused() -> None:
    columns, labels = sample(200)
    data = encode_model(train(columns, labels)).replace(b'"format": 1', b'"format": 2')
    with pytest.raises(TrainingError, match="format 2"):
        decode_model(data)
