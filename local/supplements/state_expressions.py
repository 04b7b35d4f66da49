"""JSONata where ministack does not look for it, or evaluates it in another order.

AWS documentation: "Task workflow state", "Succeed workflow state", "Transforming data with
JSONata in Step Functions" and "Passing data between states with variables" in the AWS Step
Functions Developer Guide. ministack takes the text of ``TimeoutSeconds`` for a number of seconds,
so that the task fails, and a Succeed state's input for its output. It also assigns variables one
after the other, where all expressions of an ``Assign`` see the values from before it, and none is
assigned if one of them fails.
"""

from __future__ import annotations

from typing import Any

from ministack.services import stepfunctions

Definition = dict[str, Any]


def install() -> None:
    """Evaluate all three."""
    execute = stepfunctions._execute_task
    put_out = stepfunctions._apply_output_path

    def execute_with_limit(
        definition: Definition, raw_input: Any, execution: Any, context: Any
    ) -> Any:
        if isinstance(definition.get("TimeoutSeconds"), str):
            seconds = stepfunctions._jsonata_state_field(
                definition, "TimeoutSeconds", "number", raw_input, context
            )
            if seconds != int(seconds) or seconds <= 0:
                raise stepfunctions._ExecutionError(
                    "States.QueryEvaluationError",
                    f"TimeoutSeconds has to be a whole number above 0, but was {seconds}",
                )
            definition = definition | {"TimeoutSeconds": int(seconds)}
        return execute(definition, raw_input, execution, context)

    def put_out_evaluated(definition: Definition, data: Any, context: Any = None) -> Any:
        if definition.get("Type") == "Succeed" and "Output" in definition:
            return stepfunctions._apply_jsonata_output(definition, data, context, default=data)
        return put_out(definition, data, context)

    assign = stepfunctions._apply_state_assign

    def assign_together(
        definition: Definition, raw_input: Any, context: Any, **results: Any
    ) -> None:
        if context is None or not isinstance(definition.get("Assign"), dict):
            return
        before = context.setdefault("variables", {})
        assigned: dict[str, Any] = {}
        for name, template in definition["Assign"].items():
            alone = context | {"variables": dict(before)}
            assign(definition | {"Assign": {name: template}}, raw_input, alone, **results)
            if name in alone["variables"]:  # not so in JSONPath
                assigned[name] = alone["variables"][name]
        before.update(assigned)

    stepfunctions._execute_task = execute_with_limit
    stepfunctions._apply_state_assign = assign_together
    stepfunctions._apply_output_path = put_out_evaluated
