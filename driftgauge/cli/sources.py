"""Captures of any format on the command line: what files say of themselves, and who reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from driftgauge.capture.hooks import run_postprocess
from driftgauge.capture.keys import parse_capture_key
from driftgauge.capture.locations import Location, date_of_key, locate
from driftgauge.capture.probes import without_probes
from driftgauge.capture.settings import CaptureSettings
from driftgauge.capture.sources import SourceReader
from driftgauge.cli.places import CAPTURE_SUFFIXES, TABLE_SUFFIXES, Source, find
from driftgauge.cli.screen import note
from driftgauge.columns import Rejects, RowBatch
from driftgauge.config import MonitorConfig
from driftgauge.errors import HookError, ObjectNotFoundError, StoreError
from driftgauge.profile.spec import ProfileSpec
from driftgauge.store import LocalObjects, Objects, S3Objects

_DATE_PARTS = 6  # variant, year, month, day, hour and file: what follows an endpoint in a key
_ALL = "all"


@dataclass(frozen=True, kw_only=True)
class CaptureFiles:
    """The files of a capture, and how they are read.

    Attributes
    ----------
    sources : list of Source
    config : MonitorConfig or None
        None: real-time captures, read by the defaults.
    config_path : Path or None
        Where the monitor's file is: its hooks lie near it.
    variant : str or None
        The only variant whose rows count; None: all of them.
    """

    sources: list[Source]
    config: MonitorConfig | None
    config_path: Path | None
    variant: str | None

    def batches(
        self, spec: ProfileSpec, *, advance: Callable[[int], None], rejects: Rejects
    ) -> Iterator[RowBatch]:
        """Read all rows, for a baseline."""
        columns = tuple(feature.name for feature in spec.features)
        yield from self.rows(columns, spec.outputs, advance=advance, rejects=rejects)

    def rows(
        self,
        columns: tuple[str, ...],
        outputs: tuple[str, ...],
        *,
        advance: Callable[[int], None],
        rejects: Rejects,
    ) -> Iterator[RowBatch]:
        """Read all rows, given all known columns in their order and those that are outputs."""
        capture = self.config.capture if self.config else CaptureSettings()
        hook = capture.hooks.preprocess
        reader = SourceReader(
            capture=capture,
            variants=self.config.endpoint.variants if self.config else (_ALL,),
            columns=columns,
            outputs=outputs,
            open_object=_open_object,
            list_objects=_list_objects,
            preprocess=read_script(hook, self.config_path) if hook else None,
        )
        for source in self.sources:
            with source.open(advance) as stream:
                for variant, batch in reader.read(
                    stream,
                    key=source.key,
                    location=location_of(source),
                    source=source.name,
                    rejects=rejects,
                ):
                    if self.variant in (None, variant):
                        yield without_probes(batch)

    def postprocess(self) -> None:
        """Call the monitor's postprocess hook, if it has one; its failure is a message."""
        script = self.config.capture.hooks.postprocess if self.config else None
        if script is None:
            return
        try:
            run_postprocess(read_script(script, self.config_path), name=script)
        except HookError as error:
            note(str(error))


def find_captures(paths: list[str], config: MonitorConfig | None) -> list[Source]:
    """Return the capture files behind paths.

    Raises
    ------
    StoreError
        If there are none.
    """
    format_ = config.capture.format if config else "sagemaker"
    tables = format_ == "predictions"
    sources = find(paths, suffixes=TABLE_SUFFIXES if tables else CAPTURE_SUFFIXES)
    if config is None or format_ != "batch-transform":
        return sources
    side = config.capture.manifest_side
    wanted = [s for s in sources if _side_of(s.name) in (None, side)]
    if not wanted:
        raise StoreError(
            f"{', '.join(paths)}: no manifest of the {side} side there; "
            "capture.manifests names the side"
        )
    return wanted


def location_of(source: Source) -> Location:
    """Return what a file's path says: its variant and its hour, as far as it says them."""
    parts = _parts_of(source.name)
    key = parse_capture_key("/".join(parts), prefix="/".join(parts[: -_DATE_PARTS - 1]))
    if key is not None:
        return Location(variant=key.variant, hour=key.hour)
    return Location(hour=date_of_key("/".join(parts)))


def endpoints_of(sources: list[Source]) -> set[tuple[str, str]]:
    """Return the endpoints and variants that the files' paths name."""
    found = set()
    for source in sources:
        parts = _parts_of(source.name)
        key = parse_capture_key("/".join(parts), prefix="/".join(parts[: -_DATE_PARTS - 1]))
        if key is not None:
            found.add((key.endpoint, key.variant))
    return found


def read_script(script: str, config_path: Path | None) -> bytes:
    """Read a hook: from S3, below the working folder, or below that of the monitors' folder.

    Raises
    ------
    HookError
        If it is in none of them.
    """
    if script.startswith("s3://"):
        bucket, _, key = script.removeprefix("s3://").partition("/")
        places: list[Objects] = [S3Objects(bucket=bucket)]
    else:
        key = script
        folders = [Path()] if config_path is None else [Path(), *config_path.resolve().parents[:2]]
        places = [LocalObjects(folder) for folder in folders]
    for objects in places:
        try:
            return objects.read(key)
        except ObjectNotFoundError:
            continue
    raise HookError(f"the hook {script} does not exist; looked in {places[-1].uri}")


@contextmanager
def _open_object(uri: str) -> Iterator[BinaryIO]:
    """Open an object that a manifest names, or a manifest beside another."""
    objects, key = _place_of(uri)
    with objects.open(key) as stream:
        yield stream


def _list_objects(uri: str) -> Iterator[str]:
    """List the manifests below a folder."""
    objects, key = _place_of(uri)
    for info in objects.list(key):
        yield uri.removesuffix(key) + info.key


def _place_of(uri: str) -> tuple[Objects, str]:
    if not uri.startswith("s3://"):
        folder_, _, name = uri.rpartition("/")
        return LocalObjects(Path(folder_)), name
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return S3Objects(bucket=bucket), key


def _parts_of(name: str) -> list[str]:
    return name.removeprefix("s3://").strip("/").split("/")


def _side_of(name: str) -> str | None:
    """Return the side that a manifest's path names; None if it names none."""
    key = "/".join(_parts_of(name)[-_DATE_PARTS:])
    for side in ("input", "output"):
        if locate(key, format="batch-transform", prefix="", endpoint="", manifests=side):
            return side
    return None
