"""The command line: the same engine as the deployed functions, on files, folders and s3:// URIs.

Only ``argparse`` is imported here, so that ``driftgauge --help`` is quick; what a command needs is
imported when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from driftgauge import __version__
from driftgauge.cli import planning_texts as texts
from driftgauge.cli import replay_arguments
from driftgauge.cli.argument_types import count, names
from driftgauge.errors import DriftgaugeError

if TYPE_CHECKING:
    _Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

_DESCRIPTION = """\
Compare what a model was trained on with what it is asked to predict.

driftgauge reads the data that Amazon SageMaker endpoints capture, and says which
features and predictions drifted, by how much and how sure that is. The commands here
run the same code on this machine as the deployed monitors run on AWS Lambda.
"""

_EXAMPLES = """\
examples:
  driftgauge baseline --data train.csv --label late --out baseline/
  driftgauge analyze --capture captures/ --baseline baseline/ --out report/
  driftgauge replay --capture s3://bucket/captures/my-endpoint/ --baseline baseline/ \\
      --window 1d
  driftgauge calibrate --baseline baseline/ --rows 2000 --window 1d
  driftgauge cost --rows-per-hour 20000
  driftgauge migrate --schedule churn-hourly

Paths are files, folders (searched with all their subfolders) or s3:// URIs, plain or
gzipped. All times are UTC. Errors exit with status 2.
"""

_BASELINE = """\
Learn from training data what is normal.

Reads CSV, JSON Lines or Parquet, infers each column's type as Model Monitor does,
chooses the bins that all later data is counted in, and writes three files:
  baseline.json       the bins and the counts in them
  statistics.json     descriptive statistics, in Model Monitor's format
  constraints.json    suggested data-quality constraints, in Model Monitor's format
"""

_BASELINE_EXAMPLES = """\
example:
  driftgauge baseline --data train.csv --label churned --out baseline/

Columns must be in the order in which the endpoint receives them, since captured CSV
does not name its columns. The label is left out: the endpoint never sees it.
If the data also holds the model's predictions, name them with --outputs, and drift of
the predictions is judged as well.

A baseline of Model Monitor is enough where the training data is gone:
  driftgauge baseline --statistics statistics.json --constraints constraints.json \\
      --outputs score --out baseline/
"""

_ANALYZE = """\
Compare captured data with a baseline, all of it as one window.

The monitor's windows, or hours, days or weeks, are judged as well, for the evidence
over time and the history in the report.

Writes into the folder given with --out:
  report.html                  the report, one self-contained file
  verdicts.json                the verdict on every feature with its evidence
  statistics.json              descriptive statistics, in Model Monitor's format
  constraints.json             what these captures fulfil, in Model Monitor's format
  constraint_violations.json   failed data-quality checks, in Model Monitor's format
"""

_ANALYZE_EXAMPLES = """\
example:
  driftgauge analyze --capture captures/ --baseline baseline/ --out report/ \\
      && echo "nothing found"

exit status: 0 if nothing drifted and no check failed, 1 if one did, 2 on an error.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default: those of the process.

    Returns
    -------
    int
        Exit status: 0 nothing found, 1 something found (``analyze`` only), 2 an error, 130 after
        Ctrl-C, 141 when the reader of standard output went away.
    """
    arguments = build_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        status = run(arguments)
        sys.stdout.flush()
    except DriftgaugeError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("driftgauge: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    return status


def _fail(message: str) -> int:
    from driftgauge.report.markup import printable

    for line in message.splitlines():
        print(f"driftgauge: error: {printable(line)}", file=sys.stderr)
    return 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="driftgauge",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"driftgauge {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_baseline(commands)
    _add_analyze(commands)
    _add_replay(commands)
    _add_calibrate(commands)
    _add_cost(commands)
    _add_migrate(commands)
    _add_outcomes(commands)
    schema = _command(commands, "schema", "print the schema of a monitor file", texts.SCHEMA)
    schema.epilog = texts.SCHEMA_EXAMPLES
    schema.set_defaults(run=_run("schema"))
    return parser


def _command(commands: _Commands, name: str, line: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=line,
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _run(name: str, module: str = "commands") -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        from importlib import import_module

        command: Callable[[argparse.Namespace], int] = getattr(
            import_module(f"driftgauge.cli.{module}"), name
        )
        return command(arguments)

    return run


def _window(text: str) -> object:
    from driftgauge.replay import parse_window

    try:
        return parse_window(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_baseline(commands: _Commands) -> None:
    parser = _command(commands, "baseline", "learn from training data what is normal", _BASELINE)
    parser.epilog = _BASELINE_EXAMPLES
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        help="training data: .csv, .jsonl (both also .gz) or .parquet",
    )
    parser.add_argument(
        "--statistics",
        metavar="FILE",
        help="instead of training data: Model Monitor's statistics.json",
    )
    parser.add_argument(
        "--constraints", metavar="FILE", help="with --statistics: Model Monitor's constraints.json"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where to write the baseline")
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the first line of CSV files names the columns (default: found out)",
    )
    parser.add_argument(
        "--label", metavar="NAME", help="column of the label, which the endpoint never sees"
    )
    parser.add_argument(
        "--outputs",
        type=names,
        default=(),
        metavar="NAME,...",
        help="columns that hold the model's predictions, in the order the endpoint returns them",
    )
    parser.add_argument(
        "--exclude", type=names, default=(), metavar="NAME,...", help="columns to leave out"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="monitor file whose label, outputs and kinds of columns apply",
    )
    parser.set_defaults(run=_run("baseline"))


def _add_capture(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--capture",
        nargs="+",
        required=True,
        metavar="PATH",
        help="captured data: .jsonl files, folders of them or s3:// URIs",
    )
    parser.add_argument(
        "--baseline",
        required=True,
        metavar="DIR",
        help="folder or s3:// URI that `driftgauge baseline` wrote, or that holds Model Monitor's "
        "statistics.json and constraints.json",
    )
    parser.add_argument(
        "--outputs",
        type=names,
        default=(),
        metavar="NAME,...",
        help="the model's predictions among the columns of Model Monitor's two files "
        "(default: what the monitor file says)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="monitor file whose settings apply: limits, overrides, column names, window",
    )
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help="judge the rows of one variant only (default: all captures together)",
    )
    parser.add_argument(
        "--mode",
        choices=("sound", "strict"),
        help="strict: judge as SageMaker Model Monitor does, by the thresholds of the baseline's "
        "constraints.json (default: the monitor file's, else sound)",
    )


def _add_analyze(commands: _Commands) -> None:
    parser = _command(commands, "analyze", "compare captured data with a baseline", _ANALYZE)
    parser.epilog = _ANALYZE_EXAMPLES
    _add_capture(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="where to write the report")
    parser.set_defaults(run=_run("analyze"))


def _add_replay(commands: _Commands) -> None:
    parser = _command(
        commands, "replay", "judge captured data window by window", replay_arguments.TEXT
    )
    parser.epilog = replay_arguments.EXAMPLES
    _add_capture(parser)
    parser.add_argument(
        "--window",
        type=_window,
        metavar="LENGTH",
        help="15m, 1h, 1d, 1w or a number of rows such as 500rows "
        "(default: the monitor file's, else 1d)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    replay_arguments.add_label_arguments(parser)
    parser.set_defaults(run=_run("replay"))


def _add_calibrate(commands: _Commands) -> None:
    parser = _command(
        commands, "calibrate", "show what settings find and how often they err", texts.CALIBRATE
    )
    parser.epilog = texts.CALIBRATE_EXAMPLES
    parser.add_argument(
        "--baseline",
        required=True,
        metavar="DIR",
        help="folder or s3:// URI that `driftgauge baseline` wrote, or that holds Model Monitor's "
        "statistics.json and constraints.json",
    )
    parser.add_argument(
        "--outputs",
        type=names,
        default=(),
        metavar="NAME,...",
        help="the model's predictions among the columns of Model Monitor's two files "
        "(default: what the monitor file says)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="monitor file whose settings apply: limits, overrides, window",
    )
    parser.add_argument(
        "--rows",
        type=count,
        metavar="N",
        help="rows of a window (default: the median of past captures)",
    )
    often = parser.add_mutually_exclusive_group()
    often.add_argument(
        "--window",
        type=_window,
        metavar="LENGTH",
        help="15m, 1h, 1d or 1w (default: the monitor file's, else 1d)",
    )
    often.add_argument(
        "--windows-per-day",
        type=_amount,
        metavar="N",
        help="instead of --window: how many windows come in a day",
    )
    parser.add_argument(
        "--capture",
        nargs="+",
        metavar="PATH",
        help="past captured data: .jsonl files, folders of them or s3:// URIs",
    )
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help="use the captured rows of one variant only (default: all captures together)",
    )
    parser.add_argument(
        "--windows",
        type=count,
        default=500,
        metavar="N",
        help="how many unchanged windows of each size are drawn; more make narrower intervals "
        "(default: 500)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="start of the random numbers; the same seed gives the same figures (default: 0)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run("calibration", "calibrate"))


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _add_cost(commands: _Commands) -> None:
    parser = _command(commands, "cost", "estimate what the monitors cost in a month", texts.COST)
    parser.epilog = texts.COST_EXAMPLES
    parser.add_argument(
        "--monitors",
        default="monitors",
        metavar="DIR",
        help="folder of monitor files (default: monitors)",
    )
    parser.add_argument(
        "--rows-per-hour",
        type=_amount,
        metavar="N",
        help="captured rows of each monitor (default: 1000)",
    )
    parser.add_argument(
        "--files-per-hour",
        type=_amount,
        metavar="N",
        help="capture files of each monitor; SageMaker writes about one a minute and instance "
        "(default: 60)",
    )
    parser.add_argument(
        "--bytes-per-row",
        type=_amount,
        metavar="N",
        help="captured bytes of a row with its envelope (default: 500)",
    )
    parser.add_argument(
        "--label-files-per-hour",
        type=_amount,
        metavar="N",
        help="ground-truth objects of each monitor with outcomes (default: 1)",
    )
    parser.add_argument(
        "--label-delay-hours",
        type=_amount,
        metavar="N",
        help="from a prediction to its label (default: 24)",
    )
    parser.add_argument(
        "--features",
        type=count,
        metavar="N",
        help="columns of each baseline (default: those of --store, else capture.inputs and "
        "capture.outputs, else 25)",
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        help="the deployment's store, s3://bucket or a folder: count the baselines' columns there",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run("cost", "planning"))


def _add_migrate(commands: _Commands) -> None:
    parser = _command(commands, "migrate", "take over monitors of Model Monitor", texts.MIGRATE)
    parser.epilog = texts.MIGRATE_EXAMPLES
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="JSON of a describe command, or a list of several"
    )
    parser.add_argument(
        "--schedule",
        action="append",
        metavar="NAME",
        help="monitoring schedule to describe through the AWS API; may be given again",
    )
    parser.add_argument("--region", help="AWS region of --schedule (default: the environment's)")
    parser.add_argument(
        "--out",
        default="monitors",
        metavar="DIR",
        help="where to write the monitor files (default: monitors)",
    )
    parser.add_argument(
        "--captures",
        metavar="URI",
        help="DestinationS3Uri of the data capture (default: what describes the endpoint says)",
    )
    parser.add_argument(
        "--metrics",
        action="store_true",
        help="publish the metrics per feature on, under the same names (billed one by one)",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=_run("migrate", "planning"))


def _add_outcomes(commands: _Commands) -> None:
    """Add the commands that look at predictions together with labels or with the model."""
    from driftgauge.cli import bias_arguments, explain_arguments, quality_arguments
    from driftgauge.cli import experiment_arguments as experiments

    about = "judge predictions by their labels"
    quality = _command(commands, "quality", about, quality_arguments.TEXT)
    quality.epilog = quality_arguments.EXAMPLES
    quality_arguments.add_quality_arguments(quality)
    quality.set_defaults(run=_run("quality", "quality"))
    bias = _command(commands, "bias", "compare how groups of people fare", bias_arguments.TEXT)
    bias.epilog = bias_arguments.EXAMPLES
    bias_arguments.add_bias_arguments(bias)
    bias.set_defaults(run=_run("bias", "bias"))
    about = "say what predictions owe to each feature"
    explain = _command(commands, "explain", about, explain_arguments.TEXT)
    explain.epilog = explain_arguments.EXAMPLES
    explain_arguments.add_explain_arguments(explain)
    explain.set_defaults(run=_run("explain", "explain"))
    about = "compare a challenger with the champion"
    experiment = _command(commands, "experiment", about, experiments.TEXT)
    experiment.epilog = experiments.EXAMPLES
    experiments.add_experiment_commands(experiment, run=_run)
