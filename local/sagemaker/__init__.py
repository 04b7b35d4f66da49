"""A small SageMaker: models, endpoints, deployments with guardrails, training jobs, data capture.

It answers the calls that a roll-out of a model makes, as SageMaker does: every request is checked
against botocore's model of the service, deployments shift traffic and roll back on alarms, and
endpoints serve real models and capture what they serve. Images are Python modules instead of
containers; see ``local.sagemaker.images``.

``SageMaker`` is the service without a network; ``local.supplements.sagemaker`` puts it into the
embedded AWS.
"""

from local.sagemaker.errors import ApiError
from local.sagemaker.pace import Pace
from local.sagemaker.service import SageMaker

__all__ = ["ApiError", "Pace", "SageMaker"]
