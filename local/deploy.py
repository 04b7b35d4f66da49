"""Deploy a CDK cloud assembly into the embedded AWS, with the CDK command line itself.

The templates are taken as they are: what ``cdk deploy`` would send to a real account goes to the
embedded one, by the same program over the same calls (assets into the bootstrap bucket, change
sets, one stack after the other as they depend on each other).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.aws import ACCOUNT, REGION, EmbeddedAws
from local.toolchain import run_cdk

# dg-alerts |  5/11 | 5:18:50 PM | CREATE_COMPLETE | AWS::SNS::Topic | Alerts/Topic (TopicBFC7AF6E)
_EVENT = re.compile(
    r"^(?P<stack>\S+) \|\s+(?P<done>\d+)/(?P<total>\d+) \| [^|]+ \| (?P<status>[A-Z_]+)\s*"
    r"\| (?P<type>\S+)\s*\| (?P<resource>.+?)\s*$"
)


@dataclass(frozen=True)
class DeployProgress:
    """One resource of one stack changed its state.

    Attributes
    ----------
    stack
        Name of the stack.
    done, total
        How many of the stack's resources are finished, and how many there are.
    status
        CloudFormation's resource status, such as ``CREATE_COMPLETE``.
    resource_type, resource
        What it is, and its path in the app.
    """

    stack: str
    done: int
    total: int
    status: str
    resource_type: str
    resource: str


def deploy(
    assembly: Path,
    aws: EmbeddedAws,
    *,
    on_progress: Callable[[DeployProgress], None] = lambda _progress: None,
) -> Mapping[str, Mapping[str, str]]:
    """Deploy every stack of ``assembly`` and return their outputs by stack name.

    Parameters
    ----------
    assembly
        Folder of the cloud assembly (``cdk.out``), as ``local.toolchain.synthesize`` writes it.
    aws
        A started embedded AWS; it is bootstrapped on the way.
    on_progress
        Called for each state change of a resource.

    Raises
    ------
    ToolchainError
        If a stack cannot be deployed; the message holds CloudFormation's reason.
    """
    folder = assembly.resolve()
    outputs = aws.folder / "outputs.json"
    outputs.unlink(missing_ok=True)
    log = aws.folder / "cdk-deploy.log"
    environment = aws.environment()

    run_cdk(
        ["bootstrap", "--app", str(folder), f"aws://{ACCOUNT}/{REGION}"],
        folder=aws.folder,
        environment=environment,
        log=log,
    )
    run_cdk(
        [
            "deploy",
            "--all",
            *("--app", str(folder)),
            *("--require-approval", "never"),
            *("--concurrency", "4"),
            *("--progress", "events"),
            *("--outputs-file", str(outputs)),
        ],
        folder=aws.folder,
        environment=environment,
        log=log,
        on_line=lambda line: _tell(line, on_progress),
    )
    if not outputs.exists():  # no stack has outputs
        return {}
    found: dict[str, dict[str, str]] = json.loads(outputs.read_text(encoding="utf-8"))
    return found


def _tell(line: str, on_progress: Callable[[DeployProgress], None]) -> None:
    match = _EVENT.match(line)
    if match:
        on_progress(
            DeployProgress(
                stack=match["stack"],
                done=int(match["done"]),
                total=int(match["total"]),
                status=match["status"],
                resource_type=match["type"],
                resource=match["resource"],
            )
        )
