"""Feed the capture reader mutated records: `python -m benchmarks.fuzz_capture [--records N]`.

Every file is made from a seed and its number, so that a failure can be repeated alone with
``--file``. For each file this checks that the reader neither crashes nor hangs, that each line
that is not blank is accepted or rejected, never both nor neither, and that reading in bulk gives
the very result of reading one record at a time.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from driftgauge.capture.joining import join_batches
from driftgauge.capture.reader import BLOCK_BYTES, read_capture
from driftgauge.capture.regular import RegularReader
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import Column, Rejects, RowBatch
from driftgauge.errors import CaptureError

SCHEMA = CaptureSchema(inputs=("a", "b", "c", "d"), outputs=("p",))
REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
_LONGEST_LINE = 20_000
_SECONDS_A_FILE = 60
_CHUNKS = (BLOCK_BYTES, BLOCK_BYTES, 65_536, 4096, 700, 61)
_NUMBERS = (
    *(
        "1e400",
        "-1e400",
        "1e-400",
        "9" * 400,
        "-0",
        "-0.0",
        "0.1e+5",
        "NaN",
        "Infinity",
        "-Infinity",
    ),
    *("18446744073709551616", "9007199254740993", "01", ".5", "5.", "+5", "0x10", "1_000", "--1"),
)
_VALUES = (
    *("null", "true", "false", "0", "-1.5", '""', '"text"', "[]", "{}", "[[1],[2]]", '{"a":1}'),
    *('"\\ud800"', '"\\u0000"', '"1,2,3,4"', "[" * 200 + "]" * 200, '{"data":"1,2,3,4"}'),
)
_PIECES = (
    *(
        b'"',
        b"\\",
        b'\\"',
        b"\\n",
        b"\\\\n",
        b"\\u0000",
        b"\\ud83d",
        b"\n",
        b"\r\n",
        b"\r",
        b"\x00",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b",,",
        b" ",
        b"\t",
        b"\xff",
        b"\xc3\xa9",
        b"\xed\xa0\x80",
    ),
    *(b"\xef\xbb\xbf", b"\x1f\x8b", b"1", b".", b"e", b"-", b"\x1c", b"\xe2\x80\xa8", b"''", b'""'),
)
_WORDS = ("red", "green", "18-25", "true", "", "level-7", "x" * 70, "2015-07-01", "é")


class FuzzError(AssertionError):
    """A file on which the reader failed; the message says how to repeat it."""


@dataclass(kw_only=True)
class Outcome:
    """What was read.

    Attributes
    ----------
    files, mutated, lines : int
        Files, records that were mutated, and lines that are not blank.
    accepted, rejected : int
        Those lines that gave at least one row, and the others.
    alike : int
        Blocks of lines that were read without being parsed.
    reasons : Counter of str
        Rejected records and rows by reason.
    """

    files: int = 0
    mutated: int = 0
    lines: int = 0
    accepted: int = 0
    rejected: int = 0
    alike: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def fuzz(*, records: int, seed: int, first_file: int = 0) -> Iterator[Outcome]:
    """Read files until so many mutated records were read; yields the outcome so far.

    Raises
    ------
    FuzzError
        If the reader fails on a file.
    """
    outcome = Outcome()
    real = real_records()
    number = first_file
    while outcome.mutated < records:
        chance = random.Random(f"{seed}/{number}")  # noqa: S311 - a repeatable sequence
        data, mutated = _make_file(chance, real)
        try:
            with _time_limit(_SECONDS_A_FILE):
                _check(data, chance.choice(_CHUNKS), outcome)
        except Exception as error:
            raise FuzzError(
                f"file {number} of seed {seed}: {type(error).__name__}: {error}. Repeat with "
                f"python -m benchmarks.fuzz_capture --seed {seed} --file {number}"
            ) from error
        outcome.files += 1
        outcome.mutated += mutated
        number += 1
        yield outcome


def real_records() -> list[bytes]:
    """Return captured records of real endpoints; none if the data folder is not there."""
    found = []
    for path in sorted(REAL.rglob("*.jsonl")):
        for line in path.read_bytes().splitlines()[:50]:
            if b"captureData" in line and len(line) <= _LONGEST_LINE:
                found.append(line)
    return found


def _make_file(chance: random.Random, real: Sequence[bytes]) -> tuple[bytes, int]:
    """Return a file and how many of its records are mutated."""
    write = _container(chance)
    share = chance.choice((0.02, 0.3, 1.0, 1.0, 1.0))
    lines: list[bytes] = []
    mutated = 0
    for i in range(chance.randint(1, 1000)):
        line = chance.choice(real) if real and chance.random() < 0.05 else write(i)
        if chance.random() < share:
            for _ in range(chance.choice((1, 1, 1, 2, 5))):
                line = chance.choice(_MUTATIONS)(chance, line, lines)
            mutated += 1
        lines.append(line[:_LONGEST_LINE])
    return chance.choice((b"\n", b"\n", b"\n", b"\r\n", b"\n\n")).join(lines), mutated


def _container(chance: random.Random) -> Callable[[int], bytes]:
    """Return what writes records the way one container does."""
    kind = chance.choice(("csv", "csv", "csv", "rows", "json", "base64", "mixed"))
    separators = chance.choice(((",", ":"), (", ", ": ")))
    end = chance.choice(("", "", "\n"))
    with_id = chance.random() < 0.3
    moment = chance.choice(("2022-04-18T00:21:{:02d}Z", "2022-04-18T00:{:02d}:48.123456+02:00"))

    def write(i: int) -> bytes:
        how = chance.choice(("csv", "rows", "json", "base64")) if kind == "mixed" else kind
        rows = chance.randint(1, 4) if how in ("rows", "json") else 1
        given = [[_cell(chance, column) for column in range(4)] for _ in range(rows)]
        returned = [[f"{chance.random():.6f}"] for _ in range(rows)]
        metadata = {"eventId": f"{i:08x}-0000", "inferenceTime": moment.format(i % 60)}
        if with_id:
            metadata["inferenceId"] = f"id-{i}"
        record = {
            "captureData": {
                "endpointInput": _side(given, how, end),
                "endpointOutput": _side(returned, how, end),
            },
            "eventMetadata": metadata,
            "eventVersion": "0",
        }
        return json.dumps(record, separators=separators, ensure_ascii=i % 7 == 0).encode()

    return write


def _cell(chance: random.Random, column: int) -> str:
    if chance.random() < 0.01:
        return chance.choice((*_NUMBERS, *_WORDS))
    if column == 3:
        return chance.choice(_WORDS[:6])
    return f"{chance.lognormvariate(0, 3):.5g}" if column else str(chance.randint(-99, 99))


def _side(table: list[list[str]], how: str, end: str) -> dict[str, Any]:
    text = "\n".join(",".join(row) for row in table) + end
    if how == "json":
        return {"data": json.dumps({"instances": table}), "encoding": "JSON"}
    if how == "base64":
        return {"data": base64.b64encode(text.encode()).decode(), "encoding": "BASE64"}
    return {"observedContentType": "text/csv", "mode": "INPUT", "data": text, "encoding": "CSV"}


Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]


def _flip_bit(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    at = chance.randrange(len(line) or 1)
    return (
        line[:at]
        + bytes(byte ^ (1 << chance.randrange(8)) for byte in line[at : at + 1])
        + line[at + 1 :]
    )


def _insert(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    at = chance.randint(0, len(line))
    return line[:at] + chance.choice(_PIECES) + line[at + chance.randint(0, 2) :]


def _truncate(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    return line[: chance.randint(0, len(line))]


def _cut(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    at = chance.randint(0, len(line))
    return line[:at] + line[at + chance.randint(1, 40) :]


def _repeat(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    at = chance.randint(0, len(line))
    return line[:at] + line[at : at + chance.randint(1, 40)] * chance.choice((2, 3, 50)) + line[at:]


def _splice(chance: random.Random, line: bytes, others: list[bytes]) -> bytes:
    other = chance.choice(others) if others else line
    return line[: chance.randint(0, len(line))] + other[chance.randint(0, len(other)) :]


def _duplicate_key(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    key = chance.choice(("data", "encoding", "captureData", "inferenceTime", "eventId", "x"))
    return _replace_one(
        chance, line, b"{", f'{{"{key}":{chance.choice(_VALUES)},'.encode("utf-8", "surrogatepass")
    )


def _swap_type(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    places = [at for at in range(len(line)) if line[at : at + 1] == b":"]
    if not places:
        return line
    at = chance.choice(places) + 1
    ends = [end for end in (line.find(b",", at), line.find(b"}", at)) if end >= 0]
    return line[:at] + chance.choice(_VALUES).encode() + line[min(ends, default=len(line)) :]


def _huge_number(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    return _replace_one(chance, line, b",", b"," + chance.choice(_NUMBERS).encode() + b",")


def _change_digit(chance: random.Random, line: bytes, _: list[bytes]) -> bytes:
    digit = str(chance.randint(0, 9)).encode()
    return _replace_one(chance, line, digit, chance.choice((b"7", b"", b".", b"e", b"-", b"00")))


def _replace_one(chance: random.Random, line: bytes, old: bytes, new: bytes) -> bytes:
    parts = line.split(old)
    if len(parts) < 2:
        return line
    at = chance.randrange(1, len(parts))
    return old.join(parts[:at]) + new + old.join(parts[at:])


_ANYWHERE: tuple[Mutation, ...] = (
    *(_flip_bit, _insert, _insert, _truncate, _cut, _repeat, _splice, _duplicate_key),
    *(_swap_type, _huge_number, _change_digit),
)


def _mutate_text(chance: random.Random, line: bytes, others: list[bytes]) -> bytes:
    """Change one text of a record, and leave it a record."""
    try:
        record = json.loads(line)
        part = record[chance.choice(("captureData", "captureData", "captureData", "eventMetadata"))]
        part = (
            part[chance.choice(("endpointInput", "endpointOutput"))]
            if "eventId" not in part
            else part
        )
        key = chance.choice([key for key in part if isinstance(part[key], str)])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return line
    text = chance.choice(_ANYWHERE)(chance, part[key].encode("utf-8", "replace"), others)
    part[key] = text.decode("utf-8", "replace")
    return json.dumps(record, ensure_ascii=chance.random() < 0.3).encode("utf-8", "replace")


_MUTATIONS = (*_ANYWHERE, *(_mutate_text,) * 12)


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"not read after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(kw_only=True)
class _Reading:
    batch: RowBatch | None
    rejects: Rejects
    error: str | None


def _read(data: bytes, chunk_bytes: int) -> _Reading:
    rejects = Rejects(max_samples=1_000_000)
    batches = []
    error = None
    try:
        for batch in read_capture(
            io.BytesIO(data), schema=SCHEMA, source="s", rejects=rejects, chunk_bytes=chunk_bytes
        ):
            batches.append(batch)
    except CaptureError as raised:
        error = str(raised)
    return _Reading(batch=join_batches(batches) if batches else None, rejects=rejects, error=error)


def _check(data: bytes, chunk_bytes: int, outcome: Outcome) -> None:
    if data.startswith(b"\x1f\x8b"):  # a mutation that says gzip: no lines to speak of
        data = b" " + data
    in_bulk = RegularReader.read_match
    alike = 0

    def counted(*arguments: Any) -> RowBatch | None:
        nonlocal alike
        batch = in_bulk(*arguments)
        alike += batch is not None
        return batch

    with (
        patch.object(RegularReader, "read_match", counted),
        # Files are short: a few odd lines are a large share of them.
        patch("driftgauge.capture.reader._LEAST_ALIKE", 0.3),
        patch("driftgauge.capture.reader._BLOCKS_UNSIFTED", 0),
    ):
        reading = _read(data, chunk_bytes)
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    filled = sum(1 for line in lines if line.strip())
    records = 0 if reading.batch is None else reading.batch.records
    bad = {sample.line for sample in reading.rejects.samples}
    # A record of which only some rows are bad is accepted, and its line is among the bad ones.
    both = sum(1 for line in bad if _is_accepted(lines[line - 1]))
    if records + len(bad) - both != filled:
        raise FuzzError(f"{records} accepted + {len(bad) - both} rejected of {filled} lines")
    if (reading.error is not None) and records:
        raise FuzzError(f"an object with {records} good records is refused: {reading.error}")
    with (
        patch.object(RegularReader, "read", lambda *_: None),
        patch.object(RegularReader, "read_match", lambda *_: None),
        patch.object(RegularReader, "flags", lambda _, records, __: [False] * len(records)),
    ):
        _compare(reading, _read(data, chunk_bytes))
    outcome.lines += filled
    outcome.accepted += records
    outcome.rejected += len(bad) - both
    outcome.alike += alike
    outcome.reasons.update(reading.rejects.counts)


def _is_accepted(line: bytes) -> bool:
    """Tell whether a line that stands alone gives any row."""
    # After a newline, a byte order mark is what it was: a part of the line.
    return _read(b"\n" + line, BLOCK_BYTES).batch is not None


def _compare(left: _Reading, right: _Reading) -> None:
    if (left.rejects.counts, left.error) != (right.rejects.counts, right.error):
        raise FuzzError(f"in bulk {left.rejects.counts}, one by one {right.rejects.counts}")
    one, other = left.batch, right.batch
    if one is None or other is None:
        if one is not other:
            raise FuzzError("only one of the two ways of reading finds a record")
        return
    same = (
        (one.rows, one.records, tuple(one.event_ids), set(one.columns))
        == (other.rows, other.records, tuple(other.event_ids), set(other.columns))
        and np.array_equal(one.inference_time, other.inference_time)
        and np.array_equal(one.record_of_row, other.record_of_row)
    )
    if not same:
        raise FuzzError("in bulk and one by one, other records are found")
    for name, column in one.columns.items():
        if not _same(column, other.columns[name]):
            raise FuzzError(f"in bulk and one by one, column {name!r} differs")


def _same(one: Column, other: Column) -> bool:
    return (
        (one.types, one.words) == (other.types, other.words)
        and np.array_equal(one.numbers, other.numbers, equal_nan=True)
        and _same_array(one.codes, other.codes)
        and _same_array(one.missing, other.missing)
    )


def _same_array(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other))


def main() -> None:
    """Read mutated records and print what became of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_capture")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", type=int, help="repeat this one file")
    options = parser.parse_args()
    console = Console()
    started = time.monotonic()
    if options.file is not None:
        outcome = next(fuzz(records=1, seed=options.seed, first_file=options.file))
    else:
        outcome = Outcome()
        shown = 0
        for outcome in fuzz(records=options.records, seed=options.seed):
            if outcome.mutated - shown >= 100_000:
                shown = outcome.mutated
                console.print(f"{shown:,} mutated records, {time.monotonic() - started:.0f} s")
    console.print(
        f"{outcome.mutated:,} mutated records in {outcome.files:,} files: {outcome.lines:,} lines, "
        f"{outcome.accepted:,} accepted + {outcome.rejected:,} rejected, {outcome.alike:,} blocks "
        f"read in bulk, {time.monotonic() - started:.0f} s"
    )
    for reason, count in outcome.reasons.most_common():
        console.print(f"  {reason}: {count:,}")


if __name__ == "__main__":
    main()
