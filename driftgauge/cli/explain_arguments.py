"""The arguments of ``driftgauge explain``."""

from __future__ import annotations

import argparse

from driftgauge.cli.argument_types import fraction, names

TEXT = """\
Say what predictions owe to each feature (SHAP values), and whether that drifted.

Explains rows exactly from a model file: XGBoost's JSON, LightGBM's text or JSON,
coefficients, driftgauge's model.json, all before any link function (log odds of a
classifier); or by KernelSHAP from any function or endpoint that returns scores; or reads
attributions that the endpoint returned itself. Writes into the folder given with --out:
  analysis.json                global SHAP values, in Clarify's format
  constraint_violations.json   failed checks, in Clarify's format
  attribution.json             the verdict on every output with its evidence
Without --baseline only the first is written.
"""

EXAMPLES = """\
examples:
  driftgauge explain --data train.csv --model model.json --out baseline/
  driftgauge explain --capture captures/ --model model.json --baseline train.csv --out june/
  driftgauge explain --data june.csv --scorer churn:predict --reference train.csv \\
      --baseline baseline/analysis.json --budget 500 --out june/

A scorer gets an array (rows, features) and returns one score a row, or one row of scores.
Compare only what was explained alike: the values of another method, or of probabilities
instead of log odds, are others.

exit status: 0 if attributions did not drift, 1 if they did, 2 on an error.
"""


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    rows = parser.add_mutually_exclusive_group(required=True)
    tables = "tables to explain: .csv, .jsonl (both also .gz) or .parquet"
    rows.add_argument("--data", nargs="+", metavar="PATH", help=tables)
    rows.add_argument(
        "--capture", nargs="+", metavar="PATH", help="captured data to explain, in files or folders"
    )
    _add_models(parser)
    _add_columns(parser)
    parser.add_argument(
        "--baseline",
        metavar="PATH",
        help="what to compare with: analysis.json, or a table, which is explained as well and is "
        "the reference unless --reference is given",
    )
    parser.add_argument(
        "--reference",
        metavar="PATH",
        help="table whose cells stand for unknown features (trees of a file: default their own "
        "counts of training rows)",
    )
    _add_method(parser)
    parser.add_argument(
        "--mode",
        choices=("sound", "strict"),
        default="sound",
        help="strict: judge as SageMaker Clarify does, by NDCG below 0.90 (default: sound)",
    )
    parser.add_argument(
        "--alpha",
        type=fraction,
        default=0.01,
        metavar="P",
        help="sound: chance of a false alarm (default: 0.01)",
    )
    parser.add_argument(
        "--min-distance",
        type=fraction,
        default=0.1,
        metavar="X",
        help="sound: smallest part of the attribution whose move to other features is worth an "
        "alarm (default: 0.1)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where to write the files")


def _add_models(parser: argparse.ArgumentParser) -> None:
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model", metavar="FILE", help="model file: exact values")
    models.add_argument(
        "--scorer", metavar="MODULE:FUNCTION", help="function that returns scores: KernelSHAP"
    )
    models.add_argument(
        "--endpoint", metavar="NAME", help="SageMaker endpoint that returns scores: KernelSHAP"
    )
    models.add_argument(
        "--attribution-prefix",
        metavar="PREFIX",
        help="read attributions from columns that begin so, such as shap_",
    )
    models.add_argument(
        "--attribution-path",
        metavar="JMESPATH",
        help="read attributions of --features from the captured output",
    )
    parser.add_argument(
        "--variant", metavar="NAME", help="of the endpoint to ask, or of the captures to read"
    )
    parser.add_argument("--region", help="AWS region of --endpoint (default: the environment's)")
    parser.add_argument(
        "--request",
        choices=("csv", "jsonlines", "json"),
        default="csv",
        help="what --endpoint takes (default: csv)",
    )
    parser.add_argument(
        "--score",
        default="0",
        metavar="PLACE",
        help="where the endpoint's answer holds scores: index of a CSV column, or JMESPath "
        "(default: 0)",
    )


def _add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--features",
        type=names,
        default=(),
        metavar="NAME,...",
        help="the columns that the model receives, in its order (default: those that the model "
        "file names, else all of the reference)",
    )
    parser.add_argument(
        "--exclude", type=names, default=(), metavar="NAME,...", help="columns to leave out"
    )
    parser.add_argument(
        "--outputs",
        type=names,
        default=(),
        metavar="NAME,...",
        help="names of what the endpoint returns, for captures",
    )
    parser.add_argument(
        "--labels",
        type=names,
        default=(),
        metavar="NAME,...",
        help="names of the model's outputs (default: label0, label1, ...)",
    )
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the first line of CSV files names the columns (default: found out)",
    )


def _add_method(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rows",
        type=_count,
        metavar="N",
        help="explain at most so many rows, drawn at random (default: 300 by KernelSHAP, else "
        "10000)",
    )
    parser.add_argument(
        "--samples",
        type=_count,
        metavar="N",
        help="KernelSHAP: coalitions for each row (default: min(2048 + 2 d, 2^d - 2))",
    )
    parser.add_argument(
        "--clusters",
        type=_count,
        default=8,
        metavar="K",
        help="KernelSHAP: centres that stand for a reference of more than 12 rows, 1 to 12 "
        "(default: 8)",
    )
    parser.add_argument(
        "--budget",
        type=_count,
        metavar="N",
        help="KernelSHAP: most invocations of the scorer in all; fewer rows are explained to keep "
        "it (default: 1000 with --endpoint, else no limit)",
    )
    parser.add_argument(
        "--batch-rows",
        type=_count,
        default=500,
        metavar="N",
        help="KernelSHAP: most rows of one invocation (default: 500)",
    )
    parser.add_argument(
        "--use-logit",
        action="store_true",
        help="KernelSHAP: explain log odds instead of the probability",
    )
    parser.add_argument(
        "--agg",
        choices=("mean_abs", "median", "mean_sq"),
        default="mean_abs",
        help="how values of rows become global (default: mean_abs)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")


def _count(text: str) -> int:
    if not (text.isdecimal() and len(text) <= 9 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
