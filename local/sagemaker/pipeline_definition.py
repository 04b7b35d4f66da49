"""Pipeline definitions: parameters, training steps, and what refers to what.

AWS documentation: "Pipeline definition JSON schema" and "Pipelines overview" in the Amazon
SageMaker AI Developer Guide. Of the schema ``2020-12-01`` this is a small part: steps of the type
``Training``; parameters of the types String, Integer, Float and Boolean; the functions ``Get``
(``Parameters.X``, ``Steps.X.…``, ``Execution.…``) and ``Std:Join``. A definition with anything else
is refused when the pipeline is created.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from local.sagemaker.errors import ApiError, invalid

Record = dict[str, Any]
_VERSION = "2020-12-01"
_JOIN = "Std:Join"
_OF_EXECUTION = ("PipelineExecutionId", "PipelineExecutionArn", "PipelineName", "StartDateTime")
_MEMBERS = {"Version", "Parameters", "Steps", "Metadata", "PipelineExperimentConfig"}
_STEP_MEMBERS = {"Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description"}


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_PARSERS: dict[str, Callable[[str], Any]] = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": _boolean,
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A training step: its name, and a CreateTrainingJob request that may refer to others."""

    name: str
    arguments: Record
    needs: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class PipelineDefinition:
    """Parameters by name (their definitions), and steps in an order in which they can run."""

    parameters: Mapping[str, Record]
    steps: tuple[Step, ...]

    def values(self, given: Mapping[str, str]) -> Record:
        """Return the value of every parameter.

        Parameters
        ----------
        given : mapping of str to str
            ``PipelineParameters`` of the execution.

        Raises
        ------
        ApiError
            If one is not known, has no value, or its value is not of its type.
        """
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            raise invalid(f"Parameters {unknown} are not in the pipeline definition.")
        found: Record = {}
        for name, parameter in self.parameters.items():
            if name in given:
                found[name] = _parsed(parameter, given[name])
            elif "DefaultValue" in parameter:
                found[name] = parameter["DefaultValue"]
            else:
                raise invalid(f"Parameter [{name}] has no value and no default value.")
            allowed = parameter.get("EnumValues")
            if allowed and found[name] not in allowed:
                raise invalid(f"Parameter value [{found[name]}] of [{name}] is not in {allowed}.")
        return found


def _parsed(parameter: Record, text: str) -> Any:
    try:
        return _PARSERS[parameter["Type"]](text)
    except (KeyError, ValueError):
        raise invalid(
            f"Parameter value [{text}] of [{parameter['Name']}] is not of the type "
            f"[{parameter['Type']}]."
        ) from None


def read_definition(text: str) -> PipelineDefinition:
    """Read a pipeline definition.

    Raises
    ------
    ApiError
        If it is not one, or has something in it that is not there.

    Examples
    --------
    >>> definition = read_definition(json.dumps({
    ...     "Version": "2020-12-01",
    ...     "Parameters": [{"Name": "Rows", "Type": "Integer", "DefaultValue": 5}],
    ...     "Steps": [{"Name": "Fit", "Type": "Training", "Arguments": {
    ...         "HyperParameters": {"rows": {"Get": "Parameters.Rows"}}}}]}))
    >>> definition.values({"Rows": "7"}), definition.steps[0].name
    ({'Rows': 7}, 'Fit')
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise invalid(f"Unable to parse pipeline definition: {error}") from None
    if not isinstance(found, dict) or found.get("Version") != _VERSION:
        raise invalid(f"The pipeline definition needs the Version {_VERSION}.")
    _refuse_unknown("the pipeline definition", found, _MEMBERS)
    parameters = _named("Parameters", found)
    for name, parameter in parameters.items():
        if parameter.get("Type") not in _PARSERS:
            raise invalid(f"Parameter [{name}] needs one of the types {sorted(_PARSERS)}.")
    steps = {name: _step(name, step) for name, step in _named("Steps", found).items()}
    if not steps:
        raise invalid("The pipeline definition has no steps.")
    _check_references(steps, parameters)
    try:
        order = list(
            TopologicalSorter({n: sorted(s.needs) for n, s in steps.items()}).static_order()
        )
    except CycleError as error:
        raise invalid(f"Steps depend on each other: {' - '.join(error.args[1])}.") from None
    return PipelineDefinition(parameters=parameters, steps=tuple(steps[name] for name in order))


def _named(kind: str, found: Record) -> dict[str, Record]:
    listed = found.get(kind, [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise invalid(f"{kind} of the pipeline definition has to be a list of objects.")
    names = [one.get("Name") for one in listed]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise invalid(f"{kind} of the pipeline definition need names, each of them once.")
    return {str(one["Name"]): one for one in listed}


def _refuse_unknown(where: str, found: Record, known: set[str]) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        raise ApiError("NotImplemented", f"{unknown} of {where} is not there", status=501)


def _step(name: str, step: Record) -> Step:
    if step.get("Type") != "Training":
        raise ApiError(
            "NotImplemented",
            f"Step [{name}]: of all types of steps only Training is there, not {step.get('Type')}",
            status=501,
        )
    _refuse_unknown(f"step [{name}]", step, _STEP_MEMBERS)
    arguments = step.get("Arguments")
    if not isinstance(arguments, dict):
        raise invalid(f"Step [{name}] needs Arguments.")
    referred = {path.split(".")[1] for path in _references(arguments) if path.startswith("Steps.")}
    return Step(
        name=name, arguments=arguments, needs=frozenset(referred | set(step.get("DependsOn", [])))
    )


def _references(value: Any) -> Iterator[str]:
    """Yield what ``Get`` refers to."""
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            yield str(value["Get"])
        for name, item in value.items():
            if ":" in name and name != _JOIN:
                raise ApiError("NotImplemented", f"the function {name} is not there", status=501)
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _check_references(steps: Mapping[str, Step], parameters: Mapping[str, Record]) -> None:
    for step in steps.values():
        missing = sorted(step.needs - set(steps))
        if missing:
            raise invalid(f"Step [{step.name}] refers to steps that are not there: {missing}.")
        for path in _references(step.arguments):
            kind, _, rest = path.partition(".")
            known = {"Parameters": rest in parameters, "Execution": rest in _OF_EXECUTION}
            if not known.get(kind, kind == "Steps" and "." in rest):
                raise invalid(f"Step [{step.name}] refers to [{path}], which is not there.")


def resolve(value: Any, known: Mapping[str, Any]) -> Any:
    """Return a value with every function in it replaced by what it stands for.

    Parameters
    ----------
    value : object
        Part of a step's arguments.
    known : mapping
        ``Parameters``, ``Execution`` and ``Steps`` (descriptions of jobs by step).

    Raises
    ------
    ApiError
        If something that is referred to is not known.

    Examples
    --------
    >>> known = {"Parameters": {"Bucket": "store"}}
    >>> resolve({"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Parameters.Bucket"}]}}, known)
    's3://store'
    """
    if isinstance(value, list):
        return [resolve(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Get"}:
        return _got(str(value["Get"]), known)
    if set(value) == {_JOIN}:
        joined = value[_JOIN]
        return str(joined.get("On", "")).join(str(resolve(v, known)) for v in joined["Values"])
    return {name: resolve(item, known) for name, item in value.items()}


def _got(path: str, known: Mapping[str, Any]) -> Any:
    found: Any = known
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise invalid(f"[{path}] has no value.")
        found = found[name]
    return found
