"""Training jobs: an image's ``train`` in a process of its own, from S3 to S3."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.images import ImageError, Images, copy_channel, packed_folder
from local.sagemaker.names import Names, now
from local.sagemaker.pace import Pace
from local.sagemaker.surroundings import Location, Surroundings

Record = dict[str, Any]
_logger = logging.getLogger("sagemaker")
_ROOT = Path(__file__).resolve().parents[2]
_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
}


@dataclass(kw_only=True, eq=False)
class Job:
    """A training job, its process while it runs, and whether it is to stop."""

    shown: Record
    process: subprocess.Popen[str] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


class StoppedError(Exception):
    """The job is not to go on; the message is its secondary status."""


class TrainingJobs:
    """The account's training jobs."""

    def __init__(self, *, images: Images, around: Surroundings, pace: Pace) -> None:
        self._names = Names(around.account, around.region)
        self._images = images
        self._around = around
        self._pace = pace
        self._jobs: dict[str, Job] = {}

    def create(self, request: Record) -> Record:
        """Answer CreateTrainingJob."""
        name = request["TrainingJobName"]
        arn = self._names.arn("training-job", name)
        if name in self._jobs:
            raise ApiError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a "
                f"training job with this name already exists ({arn})",
            )
        if "TrainingImage" not in request.get("AlgorithmSpecification", {}):
            raise invalid("AlgorithmSpecification needs TrainingImage.")
        Location.parse(request["OutputDataConfig"]["S3OutputPath"])
        channels = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
        if len(set(channels)) != len(channels):
            raise invalid("Channel names have to be unique.")
        job = Job(
            shown=request
            | {
                "TrainingJobArn": arn,
                "TrainingJobStatus": "InProgress",
                "CreationTime": now(),
                "LastModifiedTime": now(),
                "SecondaryStatusTransitions": [],
            }
        )
        self._jobs[name] = job
        self._enter(job, "Starting")
        threading.Thread(target=self._run, args=(job,), name=f"job-{name}", daemon=True).start()
        return {"TrainingJobArn": arn}

    def describe(self, request: Record) -> Record:
        """Answer DescribeTrainingJob."""
        job = self._found(request["TrainingJobName"])
        with job.lock:
            return copy.deepcopy(job.shown)

    def stop(self, request: Record) -> Record:
        """Answer StopTrainingJob."""
        job = self._found(request["TrainingJobName"])
        if job.shown["TrainingJobStatus"] != "InProgress":
            raise invalid(
                "The request was rejected because the training job is in status "
                f"{job.shown['TrainingJobStatus']}."
            )
        job.stop.set()
        return {}

    def _found(self, name: str) -> Job:
        if name not in self._jobs:
            raise invalid("Requested resource not found.")
        return self._jobs[name]

    def _run(self, job: Job) -> None:
        with tempfile.TemporaryDirectory(prefix="training-") as name:
            try:
                self._train(job, Path(name))
            except StoppedError as stopped:
                self._finish(job, "Stopped", str(stopped))
            except ImageError as error:
                self._finish(job, "Failed", "Failed", f"ClientError: {error}")
            except Exception as error:
                _logger.exception("training job %s", job.shown["TrainingJobName"])
                self._finish(job, "Failed", "Failed", f"InternalServerError: {error}")

    def _train(self, job: Job, folder: Path) -> None:
        request = job.shown
        module = self._images.module_name(request["AlgorithmSpecification"]["TrainingImage"])
        time.sleep(self._pace.provisioning)
        self._enter(job, "Downloading")
        for channel in request.get("InputDataConfig", []):
            source = channel["DataSource"].get("S3DataSource")
            if source is None:
                raise ImageError(f"Channel {channel['ChannelName']} is not in S3.")
            place = folder / "input/data" / channel["ChannelName"]
            copy_channel(source["S3Uri"], self._around, place)
        for name in ("input/config", "model", "output/data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "input/config/hyperparameters.json").write_text(
            json.dumps(request.get("HyperParameters", {})), encoding="utf-8"
        )
        self._enter(job, "Training")
        failure = self._run_process(job, module, folder)
        if failure is not None:
            self._finish(job, "Failed", "Failed", failure)
            return
        self._enter(job, "Uploading")
        artifacts = self._upload(job, folder)
        with job.lock:
            job.shown["ModelArtifacts"] = {"S3ModelArtifacts": artifacts}
        self._finish(job, "Completed", "Completed")

    def _run_process(self, job: Job, module: str, folder: Path) -> str | None:
        """Run the image's ``train``; return why it failed, None if it did not.

        Raises
        ------
        Stopped
            If it was ended before.
        """
        limit = job.shown.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86_400)
        end = time.monotonic() + limit
        with (folder / "log").open("w+", encoding="utf-8") as log:
            with subprocess.Popen(  # noqa: S603 - our own program, no shell
                [sys.executable, "-m", "local.sagemaker.training_process", module, str(folder)],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process:
                reason = None
                while process.poll() is None and reason is None:
                    if job.stop.wait(self._pace.polling / 2):
                        reason = "Stopped"
                    elif time.monotonic() > end:
                        reason = "MaxRuntimeExceeded"
                if reason is not None:
                    process.kill()
            log.seek(0)
            self._around.log(
                group=_LOG_GROUP,
                stream=f"{job.shown['TrainingJobName']}/algo-1-{int(time.time())}",
                text=log.read(),
            )
        if reason is not None:
            raise StoppedError(reason)
        if process.returncode == 0:
            return None
        written = folder / "output/failure"
        said = written.read_text(encoding="utf-8") if written.exists() else "no reason given"
        return f"AlgorithmError: {said[:1000]}, exit code: {process.returncode}"

    def _upload(self, job: Job, folder: Path) -> str:
        """Write ``model.tar.gz``, and ``output.tar.gz`` if there is any; return the model's URI."""
        path = Location.parse(job.shown["OutputDataConfig"]["S3OutputPath"])
        output = path.below(job.shown["TrainingJobName"], "output")
        model = output.below("model.tar.gz")
        kind = "application/x-gzip"
        self._around.write(model, packed_folder(folder / "model"), content_type=kind)
        if any((folder / "output/data").iterdir()):
            self._around.write(
                output.below("output.tar.gz"),
                packed_folder(folder / "output/data"),
                content_type=kind,
            )
        return model.uri

    def _enter(self, job: Job, secondary: str, message: str = "") -> None:
        moment = now()
        with job.lock:
            transitions = job.shown["SecondaryStatusTransitions"]
            if transitions:
                transitions[-1]["EndTime"] = moment
            transitions.append(
                {
                    "Status": secondary,
                    "StartTime": moment,
                    "StatusMessage": message or _MESSAGES.get(secondary, secondary),
                }
            )
            job.shown |= {"SecondaryStatus": secondary, "LastModifiedTime": moment}
            if secondary == "Training":
                job.shown["TrainingStartTime"] = moment
        self._announce(job)

    def _finish(self, job: Job, status: str, secondary: str, failure: str = "") -> None:
        moment = now()
        with job.lock:
            started: datetime = job.shown.setdefault("TrainingStartTime", moment)
            seconds = max(1, round((moment - started).total_seconds()))
            job.shown |= {
                "TrainingJobStatus": status,
                "TrainingEndTime": moment,
                "TrainingTimeInSeconds": seconds,
                "BillableTimeInSeconds": seconds,
            }
            if failure:
                job.shown["FailureReason"] = failure
        self._enter(job, secondary, failure)

    def _announce(self, job: Job) -> None:
        self._around.send_event(
            kind="SageMaker Training Job State Change",
            resources=[job.shown["TrainingJobArn"]],
            detail=job_detail(job.shown),
        )


def job_detail(shown: Record) -> Record:
    """Return a training job as events and Step Functions show it: moments in milliseconds."""
    return {name: _plain(value) for name, value in shown.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else value
