"""The arguments of ``driftgauge quality``."""

from __future__ import annotations

import argparse

from driftgauge.cli.argument_types import fraction, names, number

TEXT = """\
Measure how good predictions are, and say whether they became worse.

Reads tables that hold predictions beside their labels; a row without a label counts as
one whose label has not arrived. Writes into the folder given with --out:
  statistics.json              the measures, in Model Monitor's format
  constraints.json             these measures as limits, in Model Monitor's format
  constraint_violations.json   failed checks, in Model Monitor's format
  quality.json                 the verdict on every measure and segment with its evidence,
                               and the quality that scores alone promise
Without a baseline only the first two are written.
"""

EXAMPLES = """\
examples:
  driftgauge quality --data validation.csv --problem binary --label churned \\
      --prediction predicted --probability score --out baseline/
  driftgauge quality --data june.csv --baseline validation.csv --problem binary \\
      --label churned --probability score --segment plan,region --out june/
  driftgauge quality --data june.csv --constraints baseline/constraints.json \\
      --problem regression --label price --prediction estimate --mode strict --out june/

exit status: 0 if quality is not worse than the baseline's, 1 if it is or if labels
contradict what the scores promise, 2 on an error.
"""


def add_quality_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    tables = "tables: .csv, .jsonl (both also .gz) or .parquet"
    parser.add_argument("--data", nargs="+", required=True, metavar="PATH", help=tables)
    parser.add_argument(
        "--baseline",
        nargs="+",
        metavar="PATH",
        help="tables with the same columns to compare with, such as validation data",
    )
    parser.add_argument(
        "--constraints",
        metavar="FILE",
        help="instead of --baseline: constraints.json of model quality",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where to write the files")
    parser.add_argument(
        "--problem",
        required=True,
        choices=("regression", "binary", "multiclass"),
        help="what the model predicts",
    )
    parser.add_argument("--label", required=True, metavar="NAME", help="column of the truth")
    parser.add_argument(
        "--prediction",
        metavar="NAME",
        help="column of the predicted number or class (default: from the probabilities)",
    )
    parser.add_argument(
        "--probability",
        type=names,
        default=(),
        metavar="NAME,...",
        help="binary: column of the positive class's probability; multiclass: one column for each "
        "class, in the order of --classes",
    )
    parser.add_argument(
        "--classes",
        type=names,
        default=(),
        metavar="NAME,...",
        help="binary: the negative and the positive class (default: the two that labels hold, by "
        "their text)",
    )
    parser.add_argument(
        "--threshold",
        type=fraction,
        default=0.5,
        metavar="P",
        help="binary without --prediction: the probability that makes a positive (default: 0.5)",
    )
    parser.add_argument(
        "--segment",
        type=names,
        default=(),
        metavar="NAME,...",
        help="columns whose categories are judged on their own",
    )
    parser.add_argument(
        "--mode",
        choices=("sound", "strict"),
        default="sound",
        help="strict: judge as SageMaker Model Monitor does, by the baseline's exact values "
        "(default: sound)",
    )
    parser.add_argument(
        "--alpha",
        type=fraction,
        default=0.01,
        metavar="P",
        help="sound: chance of a false alarm (default: 0.01)",
    )
    parser.add_argument(
        "--tolerance",
        type=fraction,
        default=0.02,
        metavar="X",
        help="sound: smallest loss of a rate worth an alarm (default: 0.02)",
    )
    parser.add_argument(
        "--relative-tolerance",
        type=fraction,
        default=0.05,
        metavar="X",
        help="sound: smallest growth of an error worth an alarm, as a share (default: 0.05)",
    )
    parser.add_argument(
        "--design-effect",
        type=_at_least_one,
        default=1.0,
        metavar="X",
        help="sound: how many times larger variances are than independent rows would give "
        "(default: 1)",
    )
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the first line of CSV files names the columns (default: found out)",
    )


def _at_least_one(text: str) -> float:
    value = number(text)
    if not 1 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return value
