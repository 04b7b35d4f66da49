"""Tests of the CDK app, on the templates that it synthesizes."""

import os
import sys
from pathlib import Path

# The CDK starts a node process with this environment when it is first imported. The validator
# takes longer than everything else: one test runs it.
os.environ["CDK_VALIDATION"] = "false"
_node = Path(sys.executable).with_name("node")
if _node.exists():
    os.environ.setdefault("JSII_NODE", str(_node))
