"""Images and model data: what a container of SageMaker is, without a container.

An image is a Python module that the repository's name stands for. It follows SageMaker's contract
for containers with functions and folders in place of HTTP and ``/opt/ml``:

``load(folder, environment) -> Serve``
    ``folder`` holds the unpacked model data, as ``/opt/ml/model`` does. What it returns answers
    one request: ``serve(body, content_type, accept) -> Reply``. A ``ContainerError`` is an answer
    with an error status; any other exception is a status 500.
``train(folder)``
    ``folder`` stands for ``/opt/ml``: channels lie in ``input/data/{channel}``, hyperparameters in
    ``input/config/hyperparameters.json``; a model goes to ``model``, anything else to
    ``output/data``. It runs in a process of its own. An exception fails the job.
"""

from __future__ import annotations

import importlib
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driftgauge.errors import DriftgaugeError
from local.sagemaker.surroundings import Location, Surroundings

BUILT_IN: Mapping[str, str] = {"driftgauge-logistic": "local.sagemaker.logistic"}


class ImageError(DriftgaugeError):
    """There is no such image, or its model data cannot be had or loaded."""


class ContainerError(DriftgaugeError):
    """A container's answer with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Reply:
    """A container's answer."""

    body: bytes
    content_type: str


Serve = Callable[[bytes, str, str | None], Reply]


@dataclass(frozen=True)
class Images:
    """The images that can be pulled: modules by the name of the repository."""

    modules: Mapping[str, str]

    def module_name(self, image: str) -> str:
        """Return the module of an image URI; registry, tag and digest do not matter.

        Raises
        ------
        ImageError
            If no module stands for it.

        Examples
        --------
        >>> Images(BUILT_IN).module_name("123.dkr.ecr.us-east-1.amazonaws.com/driftgauge-logistic")
        'local.sagemaker.logistic'
        """
        repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
        if repository not in self.modules:
            raise ImageError(
                f"The image {image} does not exist here; these do: {', '.join(self.modules)}"
            )
        return self.modules[repository]

    def load(self, image: str, folder: Path, environment: Mapping[str, str]) -> Serve:
        """Start a container for serving.

        Raises
        ------
        ImageError
            If there is no such image, or it cannot load its model.
        """
        module: Any = importlib.import_module(self.module_name(image))
        try:
            serve: Serve = module.load(folder, environment)
        except Exception as error:
            raise ImageError(
                f"The container did not pass the ping health check: {error}"
            ) from error
        return serve


def fetch_model(container: Mapping[str, Any], around: Surroundings, folder: Path) -> None:
    """Unpack a container definition's model data into a folder.

    Raises
    ------
    ImageError
        If it is not there or no gzipped tar archive.
    """
    for source in model_places(container):
        try:
            if not source.packed:
                _copy(source.place, around, folder)
                continue
            archive = around.read(source.place)
        except KeyError:
            raise ImageError(f"Could not find model data at {source.place.uri}.") from None
        try:
            with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
                _unpack(members, folder)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ImageError(
                f"Failed to extract model data archive from {source.place.uri}: {error}"
            ) from error


def _unpack(members: tarfile.TarFile, folder: Path) -> None:
    """Write an archive's files, and nothing outside of the folder.

    Python before 3.11.4 has no filter of its own for that.
    """
    top = folder.resolve()
    for member in members:
        content = members.extractfile(member) if member.isfile() else None
        if content is None:
            continue
        place = (top / member.name).resolve()
        if not place.is_relative_to(top):
            raise tarfile.TarError(f"{member.name!r} lies outside of the archive")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.read())


@dataclass(frozen=True)
class ModelPlace:
    """Where model data lies, and whether it is an archive."""

    place: Location
    packed: bool


def model_places(container: Mapping[str, Any]) -> list[ModelPlace]:
    """Return where a container definition says its model data is: one place or none."""
    if "ModelDataUrl" in container:
        return [ModelPlace(Location.parse(container["ModelDataUrl"]), packed=True)]
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        return []
    return [ModelPlace(Location.parse(source["S3Uri"]), source["CompressionType"] == "Gzip")]


def _copy(prefix: Location, around: Surroundings, folder: Path) -> None:
    """Download every object below a prefix, by what follows its last slash."""
    start = prefix.key.rpartition("/")[0]
    keys = list(around.keys(prefix))
    if not keys:
        raise KeyError(prefix.uri)
    for key in keys:
        target = (folder / key.removeprefix(start).lstrip("/")).resolve()
        if not target.is_relative_to(folder.resolve()) or key.endswith("/"):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(around.read(Location(prefix.bucket, key)))


def copy_channel(uri: str, around: Surroundings, folder: Path) -> None:
    """Download a training channel.

    Raises
    ------
    ImageError
        If there is nothing at the URI.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _copy(Location.parse(uri), around, folder)
    except KeyError:
        raise ImageError(
            f"Data download failed: No S3 objects found under S3 URL {uri!r} given in input data "
            "source."
        ) from None


def packed_folder(folder: Path) -> bytes:
    """Return a folder's content as a gzipped tar archive, members named relative to it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as members:
        for path in sorted(folder.rglob("*")):
            members.add(path, arcname=str(path.relative_to(folder)), recursive=False)
    return packed.getvalue()
