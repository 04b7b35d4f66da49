"""A task's time limit and the output of a Succeed state may be JSONata expressions.

AWS documentation: "Task workflow state", "Succeed workflow state" and "Transforming data with
JSONata in Step Functions" in the AWS Step Functions Developer Guide. ministack takes the text of
``TimeoutSeconds`` for a number of seconds, so that the task fails, and a Succeed state's input for
its output.
"""

from __future__ import annotations

from typing import Any

from ministack.services import stepfunctions

Definition = dict[str, Any]


def install() -> None:
    """Evaluate both."""
    execute = stepfunctions._execute_task
    put_out = stepfunctions._apply_output_path

    def execute_with_limit(
        definition: Definition, raw_input: Any, execution: Any, context: Any
    ) -> Any:
        if isinstance(definition.get("TimeoutSeconds"), str):
            seconds = stepfunctions._jsonata_state_field(
                definition, "TimeoutSeconds", "number", raw_input, context
            )
            definition = definition | {"TimeoutSeconds": seconds}
        return execute(definition, raw_input, execution, context)

    def put_out_evaluated(definition: Definition, data: Any, context: Any = None) -> Any:
        if definition.get("Type") == "Succeed" and "Output" in definition:
            return stepfunctions._apply_jsonata_output(definition, data, context, default=data)
        return put_out(definition, data, context)

    stepfunctions._execute_task = execute_with_limit
    stepfunctions._apply_output_path = put_out_evaluated
