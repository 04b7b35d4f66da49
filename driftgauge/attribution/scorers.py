"""Who can be asked for scores: a function of the user, or an endpoint of SageMaker."""

from __future__ import annotations

import csv
import importlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.kernel_shap import Scorer
from driftgauge.attribution.rows import FeatureRows
from driftgauge.capture.documents import documents_of
from driftgauge.capture.payload import PayloadError
from driftgauge.capture.probes import probe_id
from driftgauge.capture.settings import is_index
from driftgauge.capture.types import Scalar, read_scalar
from driftgauge.errors import AttributionError
from driftgauge.store.services import invoke_endpoint

RequestFormat = Literal["csv", "jsonlines", "json"]

_CONTENT_TYPES: dict[RequestFormat, str] = {
    "csv": "text/csv",
    "jsonlines": "application/jsonlines",
    "json": "application/json",
}


def load_scorer(place: str) -> Scorer:
    """Import a scorer.

    Parameters
    ----------
    place : str
        ``module:function``; modules of the working folder are found as well. The function gets an
        array of shape (rows, features): float64, or, if there are words, objects that are float,
        str or None. It returns scores of shape (rows,) or (rows, outputs).

    Raises
    ------
    AttributionError
        If there is no such module or function, or importing it fails.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise AttributionError(f"{place!r} is no scorer: write module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise AttributionError(f"the scorer {place} cannot be imported: {error}") from error
    except Exception as error:
        raise AttributionError(
            f"importing the scorer {place} fails: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise AttributionError(f"the scorer {place} is not a function")
    return matrix_scorer(found, name=place)


def matrix_scorer(function: Callable[[NDArray[Any]], Any], *, name: str = "the scorer") -> Scorer:
    """Make a scorer of a function that takes an array of cells.

    Examples
    --------
    >>> scorer = matrix_scorer(lambda cells: cells[:, 0])
    >>> scorer(FeatureRows(names=("a",), numbers=np.array([[2.0]]))).tolist()
    [2.0]
    """

    def score(rows: FeatureRows) -> NDArray[np.float64]:
        cells: NDArray[Any] = rows.numbers if rows.codes is None else rows.cells()
        try:
            return np.asarray(function(cells))
        except Exception as error:
            raise AttributionError(
                f"{name} fails on {rows.rows} rows: {type(error).__name__}: {error}"
            ) from error

    return score


@dataclass(kw_only=True)
class EndpointScorer:
    """A SageMaker endpoint, or one variant of it; every call is one invocation.

    A shadow variant cannot be called: name an endpoint, or a variant without traffic. Calls carry
    an InferenceId by which ``capture.probes`` tells them from traffic.

    Attributes
    ----------
    endpoint : str
    variant : str or None
        The only variant to ask.
    request : {"csv", "jsonlines", "json"}
        ``1,2`` a row, ``{"features": [1, 2]}`` a line, or all in ``{"instances": [...]}``.
    score : str
        Where the answer holds the scores: an index of a CSV column, or JMESPath into the JSON
        document, or into each line.
    region : str or None
    client : SageMaker runtime client or None
    invocations : int
        Calls so far.
    """

    endpoint: str
    variant: str | None = None
    request: RequestFormat = "csv"
    score: str = "0"
    region: str | None = None
    client: Any = None
    invocations: int = 0

    def __call__(self, rows: FeatureRows) -> NDArray[np.float64]:
        """Return the scores of rows, of shape (rows, outputs)."""
        kind = _CONTENT_TYPES[self.request]
        self.invocations += 1
        answer = invoke_endpoint(
            self.endpoint,
            encode_rows(rows, self.request),
            content_type=kind,
            accept=kind,
            inference_id=probe_id(),
            variant=self.variant,
            region=self.region,
            client=self.client,
        )
        scores = read_scores(answer, self.score)
        if len(scores) != rows.rows:
            raise AttributionError(
                f"endpoint {self.endpoint!r} returned {len(scores)} scores for {rows.rows} rows"
            )
        return scores


def encode_rows(rows: FeatureRows, form: RequestFormat) -> bytes:
    r"""Write rows as an endpoint takes them; whole numbers are written as such.

    Examples
    --------
    >>> rows = FeatureRows(names=("a", "b"), numbers=np.array([[1.0, 0.5], [np.nan, 2.0]]))
    >>> encode_rows(rows, "csv")
    b'1,0.5\n,2\n'
    >>> encode_rows(rows, "jsonlines")
    b'{"features": [1, 0.5]}\n{"features": [null, 2]}\n'
    """
    lines = [[_plain(cell) for cell in line] for line in rows.cells().tolist()]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        return text.getvalue().encode("utf-8")
    instances = [{"features": line} for line in lines]
    if form == "json":
        return json.dumps({"instances": instances}).encode("utf-8")
    return "".join(json.dumps(item) + "\n" for item in instances).encode("utf-8")


def _plain(cell: Any) -> Any:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2.0**53:
        return int(cell)
    return cell


def read_scores(answer: bytes, place: str) -> NDArray[np.float64]:
    r"""Read the scores of an answer; shape (rows, outputs).

    Raises
    ------
    AttributionError
        If the answer cannot be read, or holds no numbers at the place.

    Examples
    --------
    >>> read_scores(b"0.1,7\n0.2,8\n", "0").tolist()
    [[0.1], [0.2]]
    >>> read_scores(b'{"predictions": [{"score": 0.5}]}', "predictions[*].score").tolist()
    [[0.5]]
    """
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        documents = documents_of(answer.decode("utf-8"), None)
    except (UnicodeDecodeError, PayloadError) as error:
        raise AttributionError(f"the endpoint's answer cannot be read: {error}") from error
    lines: list[Any] = []
    if documents.rows is not None and is_index(place):
        index = int(place)
        lines = [[row[index]] for row in documents.rows if index < len(row)]
    elif documents.rows is None and not is_index(place):
        try:
            for document in documents.values or ():
                found = jmespath.search(place, document)
                lines += found if isinstance(found, list) else [found]
        except (JMESPathError, RecursionError) as error:
            raise AttributionError(f"the scores' place {place!r}: {error}") from error
    wide = [line if isinstance(line, list) else [line] for line in lines]
    numbers = [[_number(cell) for cell in line] for line in wide]
    if not numbers or not numbers[0] or len({len(line) for line in numbers}) > 1:
        raise AttributionError(
            f"the endpoint's answer holds no scores at {place!r}: name the index of a CSV column, "
            "or a JMESPath into JSON"
        )
    return np.array(numbers, dtype=np.float64)


def _number(cell: Any) -> float:
    if isinstance(cell, dict | list):
        return float("nan")
    scalar: Scalar = cell
    return read_scalar(scalar).number
