"""The arguments of the commands of ``driftgauge experiment``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from driftgauge.cli.argument_types import fraction, names, number
from driftgauge.windows import parse_duration, parse_time

_Value = TypeVar("_Value")
_Run = Callable[[argparse.Namespace], int]

TEXT = """\
Compare a challenger with the champion: two models that share an endpoint's traffic.

  plan      how many requests and days the test needs, before it starts
  compare   what the two have done so far, and what follows from it
  weights   which share of the traffic each gets, and how to change it
"""

EXAMPLES = """\
examples:
  driftgauge experiment plan --primary accuracy=2% --mean accuracy=0.9 --requests-per-day 1000
  driftgauge experiment compare --plan plan/plan.json --champion blue.csv \\
      --challenger green.csv --time at --problem binary --label late --probability score \\
      --out experiment/
  driftgauge experiment weights churn-prod --set champion=9 --set challenger=1

See `driftgauge experiment COMMAND --help`.
"""

PLAN = """\
Say how many requests and days a test needs, and how long it takes on average.

The champion's past gives means, variances and traffic: a table of its rows with their
labels (--data), or figures (--mean and --requests-per-day). With --out, plan.json fixes
what is compared and how: `driftgauge experiment compare --plan` judges by it.
"""

PLAN_EXAMPLES = """\
examples:
  driftgauge experiment plan --primary accuracy=0.02 --mean accuracy=0.9 \\
      --requests-per-day 1000
  driftgauge experiment plan --primary recall=5% --guardrail 'mean of latency=10%' \\
      --lower 'mean of latency' --mean recall=0.7@0.12 --mean 'mean of latency=80/25' \\
      --requests-per-day 50000 --share 0.1 --max-duration 14d
  driftgauge experiment plan --data may.csv --time at --problem binary --label late \\
      --probability score --segment carrier --primary log_loss=3% --guardrail recall=2% \\
      --out plan/

exit status: 0 if there is a plan, 2 on an error.
"""

COMPARE = """\
Judge an experiment: promote the challenger, keep the champion, continue, or stop.

Reads one table of each with predictions, labels and times, or with --captures the data
that SageMaker captured of each and the ground truth. A row without a label counts as
one whose label has not arrived. May be run as often as wanted: it holds at any look.
Writes into the folder given with --out:
  report.html        the evidence over time, one self-contained file
  experiment.json    the decision, with the evidence on every metric and segment
  plan.json          what was judged by
"""

COMPARE_EXAMPLES = """\
examples:
  driftgauge experiment compare --plan plan/plan.json --champion blue.csv \\
      --challenger green.csv --time at --problem binary --label late --probability score \\
      --out experiment/
  driftgauge experiment compare --captures --champion captures/flights/blue \\
      --challenger captures/flights/green --ground-truth ground-truth/ --outputs score \\
      --features carrier,distance,hour --problem binary --classes 0,1 --probability score \\
      --segment carrier --primary log_loss=3% --guardrail recall=2% --share 0.1 \\
      --since 2026-06-01 --out experiment/

Without --plan, the champion's rows before --since are the past that it is planned from;
if there are none, its rows of the test itself.

exit status: 0 if the decision is to promote, to keep the champion or to continue, 1 if
it is to stop because of harm, or if requests are not assigned as planned (sample-ratio
mismatch), 2 on an error.
"""


WEIGHTS = """\
Show which share of its traffic an endpoint of SageMaker gives each variant, or change it.

Of the requests, each production variant gets its weight's share of the sum of all
weights; a shadow variant gets copies. Each request is assigned on its own: requests of
one user meet both variants, unless the caller names one in TargetVariant.
"""

WEIGHTS_EXAMPLES = """\
examples:
  driftgauge experiment weights churn-prod
  driftgauge experiment weights churn-prod --set champion=9 --set challenger=1
  driftgauge experiment weights churn-prod --set challenger=0

exit status: 0, or 2 on an error.
"""


def add_experiment_commands(
    parser: argparse.ArgumentParser, *, run: Callable[[str, str], _Run]
) -> None:
    """Add the commands.

    Parameters
    ----------
    parser : ArgumentParser
    run : callable
        Takes the name of a command and its module, and returns what runs it.
    """
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    planning = commands.add_parser(
        "plan",
        help="say how many requests and days a test needs",
        description=PLAN,
        epilog=PLAN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_past(planning)
    planning.add_argument("--out", metavar="DIR", help="where to write plan.json")
    _add_metrics(planning)
    _add_outcomes(planning)
    planning.set_defaults(run=run("plan", "experiment"))
    comparing = commands.add_parser(
        "compare",
        help="judge two arms",
        description=COMPARE,
        epilog=COMPARE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_arms(comparing)
    _add_captures(comparing)
    _add_metrics(comparing)
    _add_outcomes(comparing)
    comparing.set_defaults(run=run("compare", "experiment"))
    weighing = commands.add_parser(
        "weights",
        help="show or change how variants share the traffic",
        description=WEIGHTS,
        epilog=WEIGHTS_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    weighing.add_argument("endpoint", metavar="ENDPOINT", help="name of the endpoint")
    weighing.add_argument(
        "--set",
        type=_weight,
        action="append",
        default=[],
        metavar="VARIANT=WEIGHT",
        help="new weight of a production variant, 0 or more; may be given again. Returns once the "
        "endpoint is in service with it",
    )
    weighing.add_argument("--region", help="AWS region (default: the environment's)")
    weighing.set_defaults(run=run("weights", "experiment_weights"))


def _add_past(parser: argparse.ArgumentParser) -> None:
    past = parser.add_argument_group("the champion's past")
    past.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        help="tables of the champion's rows: .csv, .jsonl (both also .gz) or .parquet",
    )
    past.add_argument(
        "--period",
        type=_duration,
        metavar="LENGTH",
        help="how long these took, such as 14d (default: by --time)",
    )
    past.add_argument(
        "--mean",
        action="append",
        default=[],
        metavar="NAME=MEAN[/DEVIATION][@SHARE]",
        help="instead of --data: a metric's mean, its standard deviation over rows (default: that "
        "of a rate), and the share of requests that it rests on (default: 1); may be given again",
    )
    past.add_argument(
        "--requests-per-day",
        type=_amount,
        metavar="N",
        help="with --mean: requests of both arms together",
    )


def _add_arms(parser: argparse.ArgumentParser) -> None:
    both = "tables: .csv, .jsonl (both also .gz) or .parquet; with --captures: captured data"
    parser.add_argument("--champion", nargs="+", required=True, metavar="PATH", help=both)
    parser.add_argument("--challenger", nargs="+", required=True, metavar="PATH", help="the same")
    parser.add_argument("--out", required=True, metavar="DIR", help="where to write the files")
    parser.add_argument(
        "--plan",
        metavar="FILE",
        help="plan.json: says all that --settings and the options of metrics and the test say",
    )
    parser.add_argument(
        "--name", default="experiment", metavar="NAME", help="what the report calls it"
    )
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="start of the experiment (ISO 8601, UTC); earlier rows are the past",
    )
    parser.add_argument(
        "--share-since",
        type=_share_since,
        action="append",
        default=[],
        metavar="TIME=SHARE",
        help="the challenger's share of the traffic from a time on, where weights changed; may be "
        "given again",
    )
    parser.add_argument(
        "--block",
        type=_duration,
        default=timedelta(hours=1),
        metavar="LENGTH",
        help="arms are compared within blocks of time of this length (default: 1h)",
    )


def _add_captures(parser: argparse.ArgumentParser) -> None:
    captures = parser.add_argument_group("captured data")
    captures.add_argument(
        "--captures",
        action="store_true",
        help="the arms are captured data: files, folders or s3:// URIs, one for each variant",
    )
    captures.add_argument(
        "--ground-truth",
        nargs="+",
        metavar="PATH",
        help="labels as Model Monitor reads them, of both arms",
    )
    captures.add_argument(
        "--outputs",
        type=names,
        default=(),
        metavar="NAME,...",
        help="columns that the endpoint returns as CSV, in order",
    )
    captures.add_argument(
        "--features",
        type=names,
        default=(),
        metavar="NAME,...",
        help="columns that it receives as CSV, in order",
    )


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    test = parser.add_argument_group("metrics and the test")
    test.add_argument(
        "--primary",
        metavar="NAME[=EFFECT]",
        help="metric that has to become better, and the smallest improvement worth finding: in "
        "its units, or as a share of the champion's mean such as 2%% (default: 5%%); accuracy, "
        "recall, precision, log_loss, mae, ..., positive_rate, or `mean of` or `missing` and a "
        "column",
    )
    test.add_argument(
        "--guardrail",
        action="append",
        default=[],
        metavar="NAME[=MARGIN]",
        help="metric that must not become worse by more than a margin; may be given again",
    )
    for side in ("lower", "higher"):
        test.add_argument(
            f"--{side}",
            type=names,
            default=(),
            metavar="NAME,...",
            help=f"metrics of which {side} values are better, where the name does not say it",
        )
    test.add_argument(
        "--method",
        choices=("msprt", "empirical_bernstein", "fixed", "obrien_fleming", "pocock"),
        help="how metrics are judged (default: msprt, valid at any look)",
    )
    test.add_argument(
        "--alpha",
        type=fraction,
        metavar="P",
        help="chance of a wrong promotion or stop of an equal challenger (default: 0.05)",
    )
    test.add_argument(
        "--power",
        type=fraction,
        metavar="P",
        help="chance of finding the effect, for which the test is planned (default: 0.9)",
    )
    test.add_argument(
        "--share",
        type=fraction,
        metavar="P",
        help="the challenger's share of the traffic (default: 0.5)",
    )
    test.add_argument(
        "--min-duration", type=_duration, metavar="LENGTH", help="no promotion before (default: 1d)"
    )
    test.add_argument(
        "--max-duration", type=_duration, metavar="LENGTH", help="the end (default: 28d)"
    )
    test.add_argument(
        "--clustering",
        choices=("blocks", "none"),
        help="none: take rows as independent (default: blocks, which needs ten of them)",
    )
    test.add_argument(
        "--settings",
        metavar="FILE",
        help="YAML with these and all other settings of an experiment; options win over it",
    )


def _add_outcomes(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("columns")
    where.add_argument(
        "--time",
        metavar="NAME",
        help="tables: column of the time: ISO 8601, or seconds or milliseconds since 1970",
    )
    where.add_argument(
        "--problem",
        choices=("regression", "binary", "multiclass"),
        help="what the models predict; needed unless all metrics are of columns",
    )
    where.add_argument("--label", metavar="NAME", help="tables: column of the truth")
    where.add_argument(
        "--prediction",
        metavar="NAME",
        help="column of the predicted number or class (default: from the probabilities)",
    )
    where.add_argument(
        "--probability",
        type=names,
        default=(),
        metavar="NAME,...",
        help="binary: column of the positive class's probability; multiclass: one column for each "
        "class, in the order of --classes",
    )
    where.add_argument(
        "--classes",
        type=names,
        default=(),
        metavar="NAME,...",
        help="binary: the negative and the positive class (default: the two that labels hold, by "
        "their text)",
    )
    where.add_argument(
        "--threshold",
        type=fraction,
        default=0.5,
        metavar="P",
        help="binary without --prediction: the probability that makes a positive (default: 0.5)",
    )
    where.add_argument(
        "--segment",
        type=names,
        default=(),
        metavar="NAME,...",
        help="columns in whose categories the primary metric is judged on its own",
    )


def _read(read: Callable[[str], _Value], text: str) -> _Value:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _duration(text: str) -> timedelta:
    return _read(parse_duration, text)


def _moment(text: str) -> datetime:
    return _read(parse_time, text)


def _share_since(text: str) -> tuple[datetime, float]:
    moment, _, share = text.rpartition("=")
    return _moment(moment), fraction(share)


def _weight(text: str) -> tuple[str, float]:
    variant, _, weight = text.rpartition("=")
    value = number(weight)
    if not variant or not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not VARIANT=WEIGHT with a weight of 0 or more"
        )
    return variant, value


def _amount(text: str) -> float:
    value = number(text)
    if not 0 < value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
