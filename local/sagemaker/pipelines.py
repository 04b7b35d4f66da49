"""Pipelines: their definitions, and executions whose steps are training jobs.

Steps run one after another, in an order that their references and ``DependsOn`` allow. (SageMaker
runs steps that do not need each other at the same time.)
"""

from __future__ import annotations

import contextlib
import copy
import logging
import secrets
import string
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from driftgauge.windows import format_time
from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.names import Names, now
from local.sagemaker.pace import Pace
from local.sagemaker.pipeline_definition import PipelineDefinition, Step, read_definition, resolve
from local.sagemaker.shapes import checked_request, service_model
from local.sagemaker.surroundings import Location, Surroundings
from local.sagemaker.training import TrainingJobs

Record = dict[str, Any]
_logger = logging.getLogger("sagemaker")
_LETTERS = string.ascii_lowercase + string.digits
_STEP_IN_JOB_NAME = 20
_FAILED = "Step failure: One or multiple steps failed."


@dataclass(kw_only=True, eq=False)
class Execution:
    """An execution of a pipeline: what is shown of it, its steps, and whether it is to stop."""

    pipeline: str
    shown: Record
    definition: PipelineDefinition
    values: Record
    steps: list[Record] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def arn(self) -> str:
        """The ARN of the execution, which ends in its id."""
        return str(self.shown["PipelineExecutionArn"])


class StepFailedError(Exception):
    """A step has failed; the message says why."""


class StepStoppedError(Exception):
    """A step was stopped."""


class Pipelines:
    """The account's pipelines and their executions."""

    def __init__(self, *, jobs: TrainingJobs, around: Surroundings, pace: Pace) -> None:
        self._names = Names(around.account, around.region)
        self._jobs = jobs
        self._around = around
        self._pace = pace
        self._pipelines: dict[str, Record] = {}
        self._executions: dict[str, Execution] = {}
        self._by_token: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def create(self, request: Record) -> Record:
        """Answer CreatePipeline."""
        name = request["PipelineName"]
        arn = self._names.arn("pipeline", name)
        if name in self._pipelines:
            raise invalid(f"Pipeline names must be unique within an AWS account and region: {arn}.")
        text = self._text(request)
        read_definition(text)
        self._pipelines[name] = request | {
            "PipelineArn": arn,
            "PipelineDefinition": text,
            "PipelineStatus": "Active",
            "CreationTime": now(),
            "LastModifiedTime": now(),
        }
        return {"PipelineArn": arn}

    def _text(self, request: Record) -> str:
        place = request.get("PipelineDefinitionS3Location")
        if (place is None) == ("PipelineDefinition" not in request):
            raise invalid(
                "Exactly one of PipelineDefinition and PipelineDefinitionS3Location is needed."
            )
        if place is None:
            return str(request["PipelineDefinition"])
        location = Location(place["Bucket"], place["ObjectKey"])
        try:
            return self._around.read(location).decode()
        except KeyError:
            raise invalid(f"There is no pipeline definition at {location.uri}.") from None

    def describe(self, request: Record) -> Record:
        """Answer DescribePipeline."""
        return self._pipeline(request["PipelineName"])

    def delete(self, request: Record) -> Record:
        """Answer DeletePipeline: none of its executions may run."""
        found = self._pipeline(request["PipelineName"])
        running = ("Executing", "Stopping")
        for execution in list(self._executions.values()):
            shown = execution.shown
            if shown["PipelineArn"] == found["PipelineArn"] and (
                shown["PipelineExecutionStatus"] in running
            ):
                raise ApiError("ConflictException", f"{execution.arn} is running.")
        del self._pipelines[found["PipelineName"]]
        return {"PipelineArn": found["PipelineArn"]}

    def _pipeline(self, name: str) -> Record:
        """Return a pipeline by name or ARN."""
        found = self._pipelines.get(name)
        if found is None:
            found = next((p for p in self._pipelines.values() if p["PipelineArn"] == name), None)
        if found is None:
            arn = name if name.startswith("arn:") else self._names.arn("pipeline", name)
            raise ApiError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
        return found

    def start(self, request: Record) -> Record:
        """Answer StartPipelineExecution; a repeated ClientRequestToken starts nothing new."""
        pipeline = self._pipeline(request["PipelineName"])
        if "SelectiveExecutionConfig" in request:
            raise ApiError("NotImplemented", "selective execution is not there", status=501)
        token = (pipeline["PipelineArn"], request["ClientRequestToken"])
        with self._lock:
            if token in self._by_token:
                return {"PipelineExecutionArn": self._by_token[token]}
            execution = self._new_execution(pipeline, request)
            self._executions[execution.arn] = execution
            self._by_token[token] = execution.arn
        pipeline["LastRunTime"] = now()
        self._announce(execution, previous=None)
        threading.Thread(
            target=self._run, args=(execution,), name=f"pipeline-{execution.arn}", daemon=True
        ).start()
        return {"PipelineExecutionArn": execution.arn}

    def _new_execution(self, pipeline: Record, request: Record) -> Execution:
        given: dict[str, str] = {}
        for parameter in request.get("PipelineParameters", []):
            if parameter["Name"] in given:
                raise invalid(f"Parameter [{parameter['Name']}] is given twice.")
            given[parameter["Name"]] = parameter["Value"]
        definition = read_definition(pipeline["PipelineDefinition"])
        identifier = _random(12)
        shown = {
            "PipelineArn": pipeline["PipelineArn"],
            "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{identifier}",
            "PipelineExecutionDisplayName": request.get(
                "PipelineExecutionDisplayName", f"execution-{identifier}"
            ),
            "PipelineExecutionDescription": request.get("PipelineExecutionDescription"),
            "PipelineExecutionStatus": "Executing",
            "ParallelismConfiguration": request.get("ParallelismConfiguration"),
            "CreationTime": now(),
            "LastModifiedTime": now(),
        }
        return Execution(
            pipeline=pipeline["PipelineName"],
            shown=shown,
            definition=definition,
            values=definition.values(given),
        )

    def describe_execution(self, request: Record) -> Record:
        """Answer DescribePipelineExecution."""
        execution = self._execution(request["PipelineExecutionArn"])
        with execution.lock:
            return dict(execution.shown)

    def list_steps(self, request: Record) -> Record:
        """Answer ListPipelineExecutionSteps: the latest first, unless asked otherwise."""
        if "PipelineExecutionArn" not in request:
            raise invalid("PipelineExecutionArn is needed.")
        execution = self._execution(request["PipelineExecutionArn"])
        with execution.lock:
            steps = copy.deepcopy(execution.steps)
        if request.get("SortOrder", "Descending") == "Descending":
            steps.reverse()
        first = int(request.get("NextToken", 0))
        last = first + request.get("MaxResults", 100)
        more = {"NextToken": str(last)} if last < len(steps) else {}
        return {"PipelineExecutionSteps": steps[first:last], **more}

    def stop(self, request: Record) -> Record:
        """Answer StopPipelineExecution: the running step's job is stopped, none follows."""
        execution = self._execution(request["PipelineExecutionArn"])
        with execution.lock:
            status = execution.shown["PipelineExecutionStatus"]
            if status != "Executing":
                raise ApiError(
                    "ConflictException", f"{execution.arn} cannot be stopped: it is {status}."
                )
            self._set_status(execution, "Stopping")
        execution.stop.set()
        return {"PipelineExecutionArn": execution.arn}

    def _execution(self, arn: str) -> Execution:
        if arn not in self._executions:
            raise ApiError("ResourceNotFound", f"Pipeline execution '{arn}' does not exist.")
        return self._executions[arn]

    def _run(self, execution: Execution) -> None:
        known: Record = {
            "Parameters": execution.values,
            "Execution": {
                "PipelineExecutionId": execution.arn.rpartition("/")[2],
                "PipelineExecutionArn": execution.arn,
                "PipelineName": execution.pipeline,
                "StartDateTime": format_time(
                    execution.shown["CreationTime"].replace(microsecond=0)
                ),
            },
            "Steps": {},
        }
        status, failure = "Succeeded", None
        for step in execution.definition.steps:
            if execution.stop.is_set():
                status = "Stopped"
                break
            status, failure = self._run_step(execution, step, known)
            if status != "Succeeded":
                break
        with execution.lock:
            if failure is not None:
                execution.shown["FailureReason"] = _FAILED
            self._set_status(execution, status)

    def _run_step(self, execution: Execution, step: Step, known: Record) -> tuple[str, str | None]:
        """Run a step to its end; return its status, and why it failed if it did."""
        shown: Record = {
            "StepName": step.name,
            "StartTime": now(),
            "StepStatus": "Executing",
            "AttemptCount": 1,
        }
        with execution.lock:
            execution.steps.append(shown)
        status, failure = "Succeeded", None
        try:
            known["Steps"][step.name] = self._train(execution, step, known, shown)
        except StepStoppedError:
            status = "Stopped"
        except (StepFailedError, ApiError) as error:
            status, failure = "Failed", str(error)
        except Exception as error:
            _logger.exception("step %s of %s", step.name, execution.arn)
            status, failure = "Failed", f"InternalServerError: {error}"
        with execution.lock:
            shown |= {"StepStatus": status, "EndTime": now()}
            if failure is not None:
                shown["FailureReason"] = failure
        return status, failure

    def _train(self, execution: Execution, step: Step, known: Record, shown: Record) -> Record:
        """Run a step's training job; return its description."""
        identifier = execution.arn.rpartition("/")[2]
        # SageMaker names the jobs of its pipelines itself, whatever the arguments say.
        name = f"pipelines-{identifier}-{step.name[:_STEP_IN_JOB_NAME]}-{_random(10)}"
        request = resolve(step.arguments, known) | {"TrainingJobName": name}
        model = service_model("sagemaker").operation_model("CreateTrainingJob")
        arn = self._jobs.create(checked_request(model, request))["TrainingJobArn"]
        with execution.lock:
            shown["Metadata"] = {"TrainingJob": {"Arn": arn}}
        job = self._finished_job(execution, name)
        if job["TrainingJobStatus"] == "Completed":
            return job
        if job["TrainingJobStatus"] == "Stopped" and execution.stop.is_set():
            raise StepStoppedError(name)
        # A job that ended at its time limit has no reason of its own.
        raise StepFailedError(job.get("FailureReason") or f"The job was {job['SecondaryStatus']}.")

    def _finished_job(self, execution: Execution, name: str) -> Record:
        """Wait for a training job's end, and stop it if the execution is to stop."""
        asked = False
        while True:
            job = self._jobs.describe({"TrainingJobName": name})
            if job["TrainingJobStatus"] != "InProgress":
                return job
            if execution.stop.is_set() and not asked:
                asked = True
                with contextlib.suppress(ApiError):  # it may have ended in the meantime
                    self._jobs.stop({"TrainingJobName": name})
            time.sleep(self._pace.polling)

    def _set_status(self, execution: Execution, status: str) -> None:
        previous = execution.shown["PipelineExecutionStatus"]
        execution.shown |= {"PipelineExecutionStatus": status, "LastModifiedTime": now()}
        self._announce(execution, previous=previous)

    def _announce(self, execution: Execution, *, previous: str | None) -> None:
        shown = execution.shown
        status = shown["PipelineExecutionStatus"]
        detail = {
            "pipelineExecutionDisplayName": shown["PipelineExecutionDisplayName"],
            "pipelineExecutionDescription": shown["PipelineExecutionDescription"],
            "currentPipelineExecutionStatus": status,
            "previousPipelineExecutionStatus": previous,
            "executionStartTime": format_time(shown["CreationTime"].replace(microsecond=0)),
            "pipelineArn": shown["PipelineArn"],
            "pipelineExecutionArn": execution.arn,
        }
        if status in ("Succeeded", "Failed", "Stopped"):
            ended = shown["LastModifiedTime"].replace(microsecond=0)
            detail["executionEndTime"] = format_time(ended)
        self._around.send_event(
            kind="SageMaker Model Building Pipeline Execution Status Change",
            resources=[shown["PipelineArn"], execution.arn],
            detail={name: value for name, value in detail.items() if value is not None},
        )


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
