"""``make demo``: a model drifts, an alarm rings, a retraining runs, the alarm falls silent.

Real flights, the templates that ``cdk deploy`` would use, an AWS on this machine. ``local.story``
tells what happens; this file sets the stage and clears it again.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftgauge.config import MonitorConfig, load_monitors
from driftgauge.errors import DriftgaugeError
from local.aws import EmbeddedAws
from local.deploy import DeployProgress, deploy
from local.endpoint import Endpoint
from local.flights import find_flight_files, read_flights
from local.observation import Observer, Resources
from local.screen import Screen
from local.story import FAST, FULL, Plan, Story
from local.toolchain import ROOT, synthesize

MONITOR = "flight-delays"
DEPLOYMENT = "driftgauge"


@contextmanager
def deployed(screen: Screen, folder: Path, config: MonitorConfig) -> Iterator[Observer]:
    """Synthesize the app, start the embedded AWS, deploy, and end it all afterwards."""
    assembly = folder / "cdk.out"
    with screen.doing("cdk synth: CloudFormation templates of the app in app.py"):
        synthesize(
            ROOT,
            assembly=assembly,
            context={"deployment": DEPLOYMENT},
            log=folder / "cdk-synth.log",
        )
    aws = EmbeddedAws(folder=folder)
    try:
        with screen.doing("embedded AWS started"):
            aws.start()
        with screen.doing("cdk deploy --all: these very templates, into the embedded AWS") as tell:

            def progress(event: DeployProgress) -> None:
                tell(f"{event.stack} {event.done}/{event.total} {event.resource}")

            outputs = deploy(assembly, aws, on_progress=progress)
        screen.say(f"  {len(outputs)} stacks; endpoint of this AWS: {aws.endpoint_url}")
        resources = Resources.from_outputs(outputs, config)
        yield Observer(aws=aws, resources=resources, config=config, deployment=DEPLOYMENT)
    finally:
        aws.stop()


def run(screen: Screen, *, out: Path, plan: Plan) -> None:
    """Tell the story from nothing to the report."""
    begin = time.monotonic()
    config = load_monitors(ROOT / "monitors")[MONITOR]
    screen.title(
        "driftgauge: a model drifts, an alarm rings, a retraining runs, the alarm falls silent",
        "100,000 US flights of 2015, one AWS account on this machine, nothing staged.",
    )
    screen.heading("From templates to a running deployment")
    with screen.doing("flights read"):
        flights = read_flights(find_flight_files())
    out.mkdir(parents=True, exist_ok=True)
    with deployed(screen, out / "aws", config) as observer:
        endpoint = Endpoint(
            config=config,
            s3=observer.s3,
            store_bucket=observer.resources.store_bucket,
            capture_bucket=observer.resources.capture_bucket,
            cloudwatch=observer.cloudwatch,
        )
        story = Story(
            screen=screen,
            observer=observer,
            endpoint=endpoint,
            flights=flights,
            plan=plan,
            out=out,
        )
        story.tell()
    screen.say(f"All of it took {time.monotonic() - begin:.0f} s. The embedded AWS is stopped.")


def main() -> int:
    """Run the demo; 0 if the story went as it should, 1 if not, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "demo-output",
        help="folder for the reports and logs (default: demo-output)",
    )
    parser.add_argument(
        "--fast", action="store_true", help="play 11 weeks instead of 22 (for continuous checks)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen()
    try:
        run(screen, out=options.out.resolve(), plan=FAST if options.fast else FULL)
    except KeyboardInterrupt:
        screen.failure("Interrupted. The embedded AWS is stopped; nothing is left running.")
        return 130
    except DriftgaugeError as error:
        screen.failure(f"The demo cannot go on: {error}")
        screen.failure(f"Logs: {options.out.resolve() / 'aws'}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
