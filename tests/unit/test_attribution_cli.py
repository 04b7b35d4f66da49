from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from driftgauge.attribution.verdict import decode_attribution_verdicts
from driftgauge.cli import main

DATA = Path(__file__).resolve().parents[1] / "data" / "attribution"
NAMES = "age,income,debt,region,tenure"


def table(path: Path, rng: np.random.Generator, rows: int, *, shift: float = 0.0) -> str:
    x = rng.normal(size=(rows, 5))
    x[:, 3] = rng.integers(0, 40, rows)
    x[:, 0] *= 1.0 - shift
    x[:, 1] *= 1.0 + 3.0 * shift
    x[:, 2] *= 1.0 + 3.0 * shift
    lines = [",".join(f"{value:.6g}" for value in row) for row in x]
    path.write_text("\n".join([NAMES, *lines]) + "\n")
    return str(path)


def captures(path: Path, rng: np.random.Generator, rows: int) -> str:
    lines = []
    for i in range(rows):
        x = rng.normal(size=5)
        record = {
            "captureData": {
                "endpointInput": {"data": ",".join(map(str, x)), "encoding": "CSV"},
                "endpointOutput": {
                    "data": json.dumps({"score": 0.5, "shap": {"age": x[0], "income": x[1]}}),
                    "encoding": "JSON",
                },
            },
            "eventMetadata": {"eventId": str(i), "inferenceTime": "2026-01-01T00:00:00Z"},
            "eventVersion": "0",
        }
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_model_file_is_explained_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    train = table(tmp_path / "train.csv", rng, 800)
    same = table(tmp_path / "same.csv", rng, 400)
    other = table(tmp_path / "other.csv", rng, 400, shift=0.95)
    model = ["--model", str(DATA / "xgboost_binary.json")]
    out = tmp_path / "out"
    assert main(["explain", "--data", train, *model, "--out", str(tmp_path / "base")]) == 0
    analysis = str(tmp_path / "base" / "analysis.json")
    assert list((tmp_path / "base").iterdir()) == [Path(analysis)]
    for baseline in (train, analysis):
        arguments = [*model, "--baseline", baseline, "--out", str(out)]
        assert main(["explain", "--data", same, *arguments]) == 0
        capsys.readouterr()
        assert main(["explain", "--data", other, *arguments]) == 1
        shown = capsys.readouterr().out
        assert "━━━" in shown
        assert "Drift." in shown
        [verdict] = decode_attribution_verdicts((out / "attribution.json").read_bytes())
        assert (verdict.mode, verdict.verdict, verdict.rows) == ("sound", "drift", 400)
    strict = ["explain", "--data", other, *model, "--baseline", train, "--mode", "strict"]
    assert main([*strict, "--out", str(out)]) == 1
    violations = json.loads((out / "constraint_violations.json").read_text())["violations"]
    assert violations[0]["constraint_check_type"] == "feature_attribution_drift_check"
    written = json.loads((out / "analysis.json").read_text())["explanations"]["kernel_shap"]
    assert list(written["label0"]["global_shap_values"]) == NAMES.split(",")


def test_a_scorer_is_explained_within_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    train = table(tmp_path / "train.csv", rng, 300)
    (tmp_path / "attribution_scorer_of_a_test.py").write_text(
        "calls = []\n"
        "def predict(cells):\n"
        "    calls.append(len(cells))\n"
        "    return cells @ [1.0, 2.0, 0.0, 0.0, -0.5]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = ["explain", "--data", train, "--scorer", "attribution_scorer_of_a_test:predict"]
    assert main([*arguments, "--out", "out"]) == 2
    assert "give --reference" in capsys.readouterr().err
    budget = ["--reference", train, "--budget", "20", "--clusters", "3"]
    assert main([*arguments, *budget, "--out", "out"]) == 0
    import attribution_scorer_of_a_test as scorer  # type: ignore[import-not-found]

    assert len(scorer.calls) <= 20
    assert max(scorer.calls) <= 500
    values = json.loads(Path("out/analysis.json").read_text())["explanations"]["kernel_shap"]
    shap = values["label0"]["global_shap_values"]
    assert max(shap, key=shap.get) == "income"
    assert shap["debt"] == pytest.approx(0.0, abs=1e-9)
    assert "at most 20 invocations" in capsys.readouterr().err


def test_captures_are_explained(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    captured = captures(tmp_path / "captured.jsonl", rng, 50)
    model = ["--model", str(DATA / "lightgbm_multiclass.txt"), "--labels", "low,mid,high"]
    out = ["--out", str(tmp_path / "out")]
    names = ["--features", NAMES, "--outputs", "score"]
    assert main(["explain", "--capture", captured, *model, *names, *out]) == 0
    found = json.loads((tmp_path / "out" / "analysis.json").read_text())["explanations"]
    assert list(found["kernel_shap"]) == ["low", "mid", "high"]


@pytest.mark.parametrize(
    "how",
    [
        ["--attribution-prefix", "shap."],
        ["--attribution-path", "shap", "--features", "age,income"],
    ],
)
def test_captured_attributions_are_read(tmp_path: Path, how: list[str]) -> None:
    rng = np.random.default_rng(3)
    captured = captures(tmp_path / "captured.jsonl", rng, 200)
    out = tmp_path / "out"
    assert main(["explain", "--capture", captured, *how, "--out", str(out)]) == 0
    analysis = out / "analysis.json"
    shap = json.loads(analysis.read_text())["explanations"]["kernel_shap"]["label0"]
    assert set(shap["global_shap_values"]) == {"age", "income"}
    assert "expected_value" not in shap
    again = ["explain", "--capture", captured, *how, "--baseline", str(analysis)]
    assert main([*again, "--out", str(tmp_path / "again")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "TRAIN", "--model", "TRAIN"], "no known kind"),
        (["--data", "TRAIN", "--scorer", "nothing"], "write module:function"),
        (["--data", "TRAIN", "--model", "MODEL", "--features", "age"], "5 features"),
        (["--capture", "CAPTURED", "--scorer", "math:sqrt"], "name them with --features"),
        (["--data", "TRAIN", "--attribution-prefix", "shap_"], "no column begins"),
        (["--data", "TRAIN", "--attribution-path", "shap"], "needs --capture"),
        (["--data", "TRAIN", "--model", "COEFFICIENTS"], "against reference rows"),
        (["--data", "TRAIN", "--model", "MODEL", "--baseline", "no.csv"], "no.csv does not exist"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    rng = np.random.default_rng(4)
    (tmp_path / "linear.json").write_text('{"coefficients": {"age": 1, "debt": 2}}')
    places = {
        "TRAIN": table(tmp_path / "train.csv", rng, 20),
        "CAPTURED": captures(tmp_path / "captured.jsonl", rng, 5),
        "MODEL": str(DATA / "xgboost_binary.json"),
        "COEFFICIENTS": str(tmp_path / "linear.json"),
    }
    named = [places.get(argument, argument) for argument in arguments]
    assert main(["explain", *named, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
