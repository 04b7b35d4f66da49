"""The arguments of ``driftgauge bias``."""

from __future__ import annotations

import argparse

from driftgauge.cli.argument_types import count, fraction, names, number

TEXT = """\
Measure whether labels and predictions treat groups of people alike.

Reads tables that hold labels, predictions or both, or the records that Model Monitor's
merge job wrote, and writes into the folder given with --out:
  analysis.json                all bias metrics, in SageMaker Clarify's format
and with --baseline, which is such a file or Clarify's own:
  constraint_violations.json   failed checks, in the bias monitor's format
  bias.json                    the verdict on every metric with its evidence
"""

EXAMPLES = """\
examples:
  driftgauge bias --data train.csv --label income --positive 1 --facet sex=0 \\
      --group age --out baseline/
  driftgauge bias --data june.csv --label income --prediction predicted --positive 1 \\
      --facet sex=0 --facet 'age>40' --baseline baseline/analysis.json --out june/
  driftgauge bias --merged --data merge/ --label income --positive 1 --facet sex=0 \\
      --features 'instances[*].features' --prediction 'predictions[*].predicted_label' \\
      --ground-truth 'instances[*].label' --columns age,sex,hours --mode strict \\
      --baseline analysis.json --out june/

A facet is a column with the values, or a threshold, of the group that may be at a
disadvantage: sex=0, region=north,east or 'age>40'. Without predictions the metrics of
labels are computed, with them those of predictions as well.

exit status: 0 if nothing is more biased than the baseline, 1 if something is, 2 on an
error.
"""


def add_bias_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="PATH",
        help="tables: .csv, .jsonl (both also .gz) or .parquet; with --merged: .jsonl",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where to write the files")
    parser.add_argument("--label", required=True, metavar="NAME", help="column of the label")
    parser.add_argument(
        "--prediction",
        "--predicted-label",
        metavar="NAME",
        help="column of the predicted label; with --merged: JMESPath or the index of a CSV column",
    )
    parser.add_argument(
        "--probability",
        metavar="NAME",
        help="instead: column of the probability of a positive label; with --merged as above",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="a probability above it is a positive prediction (default: 0.5)",
    )
    parser.add_argument(
        "--positive",
        required=True,
        metavar="VALUE,...",
        help="the labels that are wished for, or '>T' for those above a threshold",
    )
    parser.add_argument(
        "--facet",
        action="append",
        required=True,
        metavar="NAME=VALUE,...",
        help="a group that may be at a disadvantage, or 'NAME>T'; may be repeated",
    )
    parser.add_argument(
        "--group", metavar="NAME", help="column that the conditional metrics condition on"
    )
    parser.add_argument(
        "--baseline", metavar="FILE", help="analysis.json to compare with, Clarify's or ours"
    )
    parser.add_argument(
        "--mode",
        choices=("sound", "strict"),
        default="sound",
        help="strict: judge as SageMaker's bias monitor does, by the baseline's exact values "
        "(default: sound)",
    )
    _add_limits(parser)
    parser.add_argument(
        "--columns",
        type=names,
        default=(),
        metavar="NAME,...",
        help="names of the columns where the data does not name them",
    )
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the first line of CSV files names the columns (default: found out)",
    )
    parser.add_argument(
        "--merged", action="store_true", help="the data is merged records of Model Monitor"
    )
    parser.add_argument(
        "--features", metavar="PATH", help="with --merged: where the features are, as JMESPath"
    )
    parser.add_argument(
        "--ground-truth",
        metavar="PATH",
        help="with --merged: where the label is (default: the field 'label' or the only value)",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for name, default, text in (
        ("--alpha", 0.01, "chance of a false alarm"),
        ("--tolerance", 0.05, "additional difference of shares not worth an alarm"),
    ):
        parser.add_argument(
            name,
            type=fraction,
            default=default,
            metavar="X",
            help=f"sound: {text} (default: {default})",
        )
    parser.add_argument(
        "--ratio-tolerance",
        type=_positive,
        default=0.2,
        metavar="X",
        help="sound: additional difference of ratios not worth an alarm, relative for DI "
        "(default: 0.2)",
    )
    parser.add_argument(
        "--min-rows",
        type=count,
        default=30,
        metavar="N",
        help="sound: rows that each rate must rest on (default: 30)",
    )


def _positive(text: str) -> float:
    value = number(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
