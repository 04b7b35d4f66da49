"""How captures of every kind are read: the part of a monitor's file below ``capture``."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

Format = Literal["sagemaker", "predictions", "batch-transform", "merged"]
Order = Literal["output-first", "input-first"]
# Of models that no endpoint of SageMaker hosts while they predict.
_FOREIGN = ("predictions", "batch-transform")

_INDEX = re.compile(r"[0-9]{1,4}")


def is_index(attribute: str) -> bool:
    """Tell the index of a CSV column from a JMESPath expression.

    Examples
    --------
    >>> is_index("0"), is_index("predictions[*].score")
    (True, False)
    """
    return _INDEX.fullmatch(attribute) is not None


def _checked_attribute(value: str) -> str:
    if is_index(value):
        return value
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(value)
    except JMESPathError as error:
        raise ValueError(
            f"{value!r} is neither the index of a CSV column nor a JMESPath expression "
            f"({' '.join(str(error).split())})"
        ) from None
    return value


def _text_of_index(value: Any) -> Any:
    index = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if index and 0 <= value <= 9999 else value


def _checked_script(value: str) -> str:
    path = PurePosixPath(value)
    if value.startswith("s3://"):
        bucket, _, key = value.removeprefix("s3://").partition("/")
        good = bool(bucket) and bool(key)
    else:
        good = path.suffix == ".py" and not path.is_absolute() and ".." not in path.parts
    if not good:
        raise ValueError(
            "a hook is s3://bucket/key, or the path of a .py file below the folder of the "
            "deployment, such as hooks/preprocess.py"
        )
    return value


def _checked_place(value: str) -> str:
    bucket, _, _ = value.removeprefix("s3://").partition("/")
    if not value.startswith("s3://") or not bucket:
        raise ValueError("expected s3://bucket/prefix")
    return value


Attribute = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_checked_attribute)]
Excluded = Annotated[
    str,
    Field(min_length=1, max_length=256),
    # YAML reads 3 as a number.
    BeforeValidator(_text_of_index),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 256},
                {"type": "integer", "minimum": 0, "maximum": 9999},
            ]
        }
    ),
]
Script = Annotated[str, Field(max_length=1024), AfterValidator(_checked_script)]
Place = Annotated[str, Field(max_length=1024), AfterValidator(_checked_place)]
Prefix = Annotated[str, AfterValidator(lambda value: value.strip("/")), Field(max_length=512)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SelectionSettings(_Model):
    """Which values of a payload are features and predictions."""

    features: Attribute | None = Field(
        default=None,
        description="Input columns: JMESPath (`instances[*].features`) or a CSV index.",
    )
    inference: Attribute | None = Field(
        default=None,
        description="Predicted label: JMESPath (`predictions[*].predicted_label`) or a CSV index.",
    )
    probability: Attribute | None = Field(
        default=None,
        description="Probability of the positive class: JMESPath or a CSV index.",
    )
    threshold: float = Field(
        default=0.5,
        description="A probability above it (not at it) makes the predicted label 1.",
    )
    predicted_label: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        default="predicted_label",
        description="Output column made of `probability` and `threshold`, without `inference`.",
    )
    exclude: tuple[Excluded, ...] = Field(
        default=(),
        max_length=100,
        description=(
            "Columns that are never judged: by name (`_c3` without names), by index from 0 in the "
            "order of `order`, as a range of indices (`0-3`), or by JMESPath."
        ),
    )

    @property
    def has_attributes(self) -> bool:
        """Whether payloads have to be taken apart."""
        return any((self.features, self.inference, self.probability))


class HookSettings(_Model):
    """The user's own scripts, with Model Monitor's functions."""

    preprocess: Script | None = Field(
        default=None,
        description="Script with `preprocess_handler(inference_record[, logger])`.",
    )
    postprocess: Script | None = Field(
        default=None,
        description="Script with `postprocess_handler()`, called after an evaluation.",
    )


class MappingSettings(_Model):
    """What the columns of plain prediction files mean."""

    time: str | None = Field(
        default=None,
        description=(
            "Column of the inference time: ISO 8601, or seconds or milliseconds since 1970. "
            "Without it the hour (yyyy/mm/dd/hh) or day of the key counts."
        ),
    )
    id: str | None = Field(default=None, description="Column of the id that labels are joined by.")
    variant: str | None = Field(
        default=None,
        description="Column that names the variant; needed if the monitor has more than one.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Columns to read, and the baseline's name of each; default: all, as they are.",
    )
    names: tuple[str, ...] = Field(
        default=(),
        description="Names of the columns of CSV files without a header and of JSON arrays.",
    )

    @model_validator(mode="after")
    def _names_are_different(self) -> Self:
        for where, names in (("columns", list(self.columns.values())), ("names", self.names)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{where} gives the name {twice[0]!r} to two columns")
        return self


class CaptureSettings(_Model):
    """Where the endpoint's data capture goes, and how its columns are named."""

    bucket: str | None = Field(
        default=None,
        description=(
            "An existing bucket that captures are written to, with EventBridge notifications on. "
            "Without it the deployment makes one."
        ),
    )
    prefix: Prefix = Field(
        default="captures",
        description="Everything before /{endpoint}/{variant}/yyyy/mm/dd/hh/ in the object keys.",
    )
    inputs: tuple[str, ...] | None = Field(
        default=None,
        description="Input columns of CSV payloads, in order; default: the baseline's.",
    )
    outputs: tuple[str, ...] | None = Field(
        default=None,
        description="Output columns of CSV payloads, in order; default: the baseline's.",
    )
    ground_truth_prefix: Prefix = Field(
        default="ground-truth",
        description="Where labels are dropped, in the capture bucket: {prefix}/yyyy/mm/dd/hh/.",
    )
    format: Format = Field(
        default="sagemaker",
        description=(
            "sagemaker: data capture of an endpoint. batch-transform: manifests of a batch "
            "transform. merged: records of Model Monitor's merge job. predictions: plain JSON "
            "Lines, CSV or Parquet."
        ),
    )
    order: Order = Field(
        default="output-first",
        description="Order in which unnamed CSV columns are numbered (_c0, ...) and baselines "
        "list them.",
    )
    select: SelectionSettings = SelectionSettings()
    hooks: HookSettings = HookSettings()
    mapping: MappingSettings = MappingSettings()
    manifests: Literal["output", "input", "both"] = Field(
        default="output",
        description=(
            "batch-transform: read what the transforms wrote, what they were given, or both sides "
            "line by line, for transforms that do not join them."
        ),
    )
    data: tuple[Place, ...] = Field(
        default=(),
        max_length=20,
        description="batch-transform: where manifests point to (s3://bucket/prefix), to be read.",
    )
    target_model: Attribute | None = Field(
        default=None,
        description=(
            "JMESPath to the target model in a record of a multi-model endpoint; its rows "
            "belong to the variant {variant}--{model}."
        ),
    )

    @property
    def is_hosted(self) -> bool:
        """Whether the captures are of an endpoint of SageMaker, in its layout."""
        return self.format in ("sagemaker", "merged")

    @property
    def manifest_side(self) -> Literal["output", "input"]:
        """The side whose manifests start work."""
        return "input" if self.manifests == "input" else "output"

    @model_validator(mode="after")
    def _options_fit_the_format(self) -> Self:
        plain = self.format == "predictions"
        if not plain and self.mapping != MappingSettings():
            raise ValueError("mapping belongs to format: predictions")
        if self.format != "batch-transform" and (self.data or self.manifests != "output"):
            raise ValueError("data and manifests belong to format: batch-transform")
        if self.target_model and self.format not in ("sagemaker", "merged"):
            raise ValueError("target_model belongs to format: sagemaker or merged")
        if plain and (self.hooks.preprocess or self.select.has_attributes):
            raise ValueError(
                "hooks.preprocess and select read captured records; for format: predictions "
                "name the columns in mapping.columns"
            )
        if self.hooks.preprocess and self.select.has_attributes:
            raise ValueError("hooks.preprocess already selects: leave the attributes of select out")
        return self

    def check_use(self, *, endpoint_alarms: bool, retraining: bool, variants: int) -> None:
        """Raise ValueError if something is asked of these captures that they do not hold.

        Parameters
        ----------
        endpoint_alarms : bool
            Whether alarms look at the endpoint's own metrics.
        retraining : bool
            Whether models are trained from the captures.
        variants : int
            How many the endpoint has.
        """
        if endpoint_alarms and (self.format in _FOREIGN or self.target_model):
            raise ValueError(
                "endpoint.alarms looks at SageMaker's metrics of an endpoint's variants, which "
                "these captures have none of: set it to false"
            )
        plain = self.format == "sagemaker" and not (
            self.hooks.preprocess or self.select.has_attributes or self.target_model
        )
        if retraining and not plain:
            raise ValueError(
                "retraining reads plain captures of an endpoint only: leave capture.format, "
                "select, hooks.preprocess and target_model as they are, or retraining off"
            )
        if self.format == "predictions" and variants > 1 and self.mapping.variant is None:
            raise ValueError(
                "capture.mapping.variant must name the column that tells endpoint.variants apart"
            )


def without_endpoint_alarms(document: Any) -> Any:
    """Return a monitor's file with the endpoint's alarms off where SageMaker has no such metrics.

    Examples
    --------
    >>> found = without_endpoint_alarms({"capture": {"format": "predictions"}, "endpoint": {}})
    >>> found["endpoint"]
    {'alarms': False}
    """
    if not isinstance(document, dict):
        return document
    capture, endpoint = document.get("capture"), document.get("endpoint")
    if not isinstance(capture, dict) or not isinstance(endpoint, dict):
        return document
    foreign = capture.get("format") in _FOREIGN
    if (foreign or capture.get("target_model")) and "alarms" not in endpoint:
        return {**document, "endpoint": {**endpoint, "alarms": False}}
    return document
