"""``make demo``: a model drifts, an alarm rings, a retraining runs, the alarm falls silent.

Real flights, the templates that ``cdk deploy`` would use, an AWS on this machine. ``local.story``
and ``local.decay_story`` tell what happens; this file sets the stage and clears it again.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driftgauge.config import MonitorConfig, load_monitors
from driftgauge.errors import DriftgaugeError
from local import decay_story, story
from local.aws import EmbeddedAws
from local.decay_story import DecayStory
from local.departures import find_data, read_departures
from local.deploy import DeployProgress, deploy
from local.endpoint import Endpoint
from local.flights import find_flight_files, read_flights
from local.observation import Observer, Resources
from local.screen import Screen
from local.story import Story
from local.telling import Telling
from local.toolchain import ROOT, synthesize

DEPLOYMENT = "driftgauge"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One story, and what it needs.

    Attributes
    ----------
    monitors : Path
        Folder of the deployed monitors.
    monitor : str
        The one that is played.
    title, subtitle : str
        What the story is about.
    tell : callable
        Reads the data and tells it: all of it, or the short version.
    """

    monitors: Path
    monitor: str
    title: str
    subtitle: str
    tell: Callable[[Telling, bool], None]


def tell_drift(telling: Telling, fast: bool) -> None:
    """Tell the story of the merger."""
    with telling.screen.doing("flights read"):
        flights = read_flights(find_flight_files())
    Story(telling, flights=flights, plan=story.FAST if fast else story.FULL).tell()


def tell_decay(telling: Telling, fast: bool) -> None:
    """Tell the story of New York's summer."""
    with telling.screen.doing("departures read"):
        departures = read_departures(find_data())
    sample = departures.take(departures.numbers % EVERY == 0)
    plan = decay_story.FAST if fast else decay_story.FULL
    DecayStory(telling, departures=sample, plan=plan).tell()


# Of the departures of 2013, about 1,280 a week.
EVERY = 5
SCENARIOS = {
    "drift": Scenario(
        monitors=ROOT / "monitors",
        monitor="flight-delays",
        title="driftgauge: a model drifts, an alarm rings, a retraining runs, the alarm falls "
        "silent",
        subtitle="100,000 US flights of 2015, one AWS account on this machine, nothing staged.",
        tell=tell_drift,
    ),
    "decay": Scenario(
        monitors=ROOT / "local" / "monitors",
        monitor="new-york-departures",
        title="driftgauge: columns stay as they are, the model gets worse, labels tell",
        subtitle=f"Every {EVERY}th flight that left New York in 2013, one AWS account on this "
        "machine, nothing staged.",
        tell=tell_decay,
    ),
}


@contextmanager
def deployed(
    screen: Screen, folder: Path, scenario: Scenario, config: MonitorConfig
) -> Iterator[Observer]:
    """Synthesize the app, start the embedded AWS, deploy, and end it all afterwards."""
    assembly = folder / "cdk.out"
    with screen.doing("cdk synth: CloudFormation templates of the app in app.py"):
        synthesize(
            ROOT,
            assembly=assembly,
            context={"deployment": DEPLOYMENT, "monitors": str(scenario.monitors)},
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


def run(screen: Screen, scenario: Scenario, *, out: Path, fast: bool) -> None:
    """Tell a story from nothing to the report."""
    begin = time.monotonic()
    config = load_monitors(scenario.monitors)[scenario.monitor]
    screen.title(scenario.title, scenario.subtitle)
    screen.heading("From templates to a running deployment")
    out.mkdir(parents=True, exist_ok=True)
    with deployed(screen, out / "aws", scenario, config) as observer:
        endpoint = Endpoint(
            config=config,
            s3=observer.s3,
            store_bucket=observer.resources.store_bucket,
            capture_bucket=observer.resources.capture_bucket,
            cloudwatch=observer.cloudwatch,
        )
        telling = Telling(screen=screen, observer=observer, endpoint=endpoint, out=out)
        scenario.tell(telling, fast)
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
        "--scenario",
        choices=tuple(SCENARIOS),
        default="drift",
        help="drift: a column moves, and predictions with it. decay: columns stay, the truth moves",
    )
    parser.add_argument(
        "--fast", action="store_true", help="play fewer weeks (for continuous checks)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen()
    try:
        run(screen, SCENARIOS[options.scenario], out=options.out.resolve(), fast=options.fast)
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
