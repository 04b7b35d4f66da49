"""The stages a captured byte goes through: CPU seconds of one core, in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def scan(folder: Path) -> dict[str, Any]:
    """Bytes to a number of lines: the least that reading a capture can cost."""
    import numpy as np

    capture = folder / "capture.jsonl"
    lines = 0
    # As much as fits the processor's cache beside its mask.
    buffer = bytearray(256 * 1024)
    block = np.frombuffer(buffer, dtype=np.uint8)
    started = time.process_time()
    with capture.open("rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            lines += int(np.count_nonzero(block[:size] == ord("\n")))
    return {
        "rows": lines,
        "bytes": capture.stat().st_size,
        "seconds": time.process_time() - started,
    }


def decode(folder: Path) -> dict[str, Any]:
    """Bytes to columns."""
    from driftgauge.capture.reader import read_capture
    from driftgauge.columns import Rejects

    capture = folder / "capture.jsonl"
    started = time.process_time()
    with capture.open("rb") as stream:
        rows = sum(
            batch.rows
            for batch in read_capture(stream, schema=_schema(), source="bench", rejects=Rejects())
        )
    return {"rows": rows, "bytes": capture.stat().st_size, "seconds": time.process_time() - started}


def profile(folder: Path) -> dict[str, Any]:
    """Columns to one encoded profile; decoding is not timed."""
    from driftgauge.capture.reader import read_capture
    from driftgauge.columns import Rejects
    from driftgauge.profile.build import profile_batch
    from driftgauge.profile.codec import encode_profile
    from driftgauge.profile.profile import Profile

    baseline = _baseline(folder)
    total = Profile.empty(baseline.spec)
    seconds = 0.0
    with (folder / "capture.jsonl").open("rb") as stream:
        for batch in read_capture(stream, schema=_schema(), source="bench", rejects=Rejects()):
            started = time.process_time()
            total = total + profile_batch(baseline.spec, batch)
            seconds += time.process_time() - started
    started = time.process_time()
    encoded = encode_profile(total)
    seconds += time.process_time() - started
    return {"rows": total.rows, "seconds": seconds, "profile_bytes": len(encoded)}


def joint(folder: Path) -> dict[str, Any]:
    """Columns to sums over whole rows; decoding is not timed."""
    from driftgauge.capture.reader import read_capture
    from driftgauge.columns import Rejects
    from driftgauge.profile.joint import JointCounter

    counter = JointCounter(_baseline(folder).spec.joint)
    rows, seconds = 0, 0.0
    with (folder / "capture.jsonl").open("rb") as stream:
        for batch in read_capture(stream, schema=_schema(), source="bench", rejects=Rejects()):
            started = time.process_time()
            counter.count(batch.columns, batch.rows)
            seconds += time.process_time() - started
            rows += batch.rows
    return {"rows": rows, "seconds": seconds}


def judge(folder: Path) -> dict[str, Any]:
    """One merged profile to verdicts, in milliseconds of one call."""
    from driftgauge.profile.codec import decode_profile

    baseline = _baseline(folder)
    total = decode_profile((folder / "day.profile").read_bytes(), baseline.spec)
    judge_day = _judge(baseline)
    judge_day(total)
    started = time.process_time()
    verdict = judge_day(total)
    return {"rows": verdict.rows, "seconds": time.process_time() - started}


def count(folder: Path) -> dict[str, Any]:
    """Bytes to encoded profiles, one for each hour."""
    baseline = _baseline(folder)
    read_profiles = _profiles_of(folder)
    before = _resident_mb()
    started = time.process_time()
    rows, parts = read_profiles(baseline.spec)
    return {
        "rows": rows,
        "bytes": (folder / "capture.jsonl").stat().st_size,
        "seconds": time.process_time() - started,
        "above_mb": _peak_mb() - before,
        "profile_bytes": max(map(len, parts)),
    }


def whole(folder: Path) -> dict[str, Any]:
    """Bytes to verdicts, as the functions do it: by hourly grain, encoded, merged, judged."""
    from driftgauge.profile.codec import encode_profile, merge_encoded

    baseline = _baseline(folder)
    read_profiles = _profiles_of(folder)
    judge_day = _judge(baseline)
    started = time.process_time()
    _, parts = read_profiles(baseline.spec)
    total = merge_encoded(parts, baseline.spec)
    verdict = judge_day(total)
    seconds = time.process_time() - started
    (folder / "day.profile").write_bytes(encode_profile(total))
    capture = folder / "capture.jsonl"
    return {"rows": verdict.rows, "bytes": capture.stat().st_size, "seconds": seconds}


def _profiles_of(folder: Path) -> Callable[[Any], tuple[int, list[bytes]]]:
    """Return what reads the capture to one encoded profile an hour; all imports are done."""
    from driftgauge.capture.reader import read_capture
    from driftgauge.columns import Rejects
    from driftgauge.profile.build import profile_batch, split_by_grain
    from driftgauge.profile.codec import encode_profile
    from driftgauge.profile.profile import ProfileSum

    def read_profiles(spec: Any) -> tuple[int, list[bytes]]:
        sums: dict[datetime, ProfileSum] = {}
        with (folder / "capture.jsonl").open("rb") as stream:
            for batch in read_capture(stream, schema=_schema(), source="bench", rejects=Rejects()):
                for grain, part in split_by_grain(batch, timedelta(hours=1)):
                    sums.setdefault(grain, ProfileSum(spec)).add(profile_batch(spec, part))
        profiles = [sums[grain].result() for grain in sorted(sums)]
        return sum(part.rows for part in profiles), [encode_profile(part) for part in profiles]

    return read_profiles


def merge(folder: Path) -> dict[str, Any]:
    """10,000 encoded profiles of 25 features and a score to one."""
    import numpy as np

    from driftgauge.capture.reader import read_capture
    from driftgauge.columns import Rejects
    from driftgauge.profile.build import profile_batch
    from driftgauge.profile.codec import encode_profile, merge_encoded

    baseline = _baseline(folder)
    with (folder / "capture.jsonl").open("rb") as stream:
        batch = next(
            iter(read_capture(stream, schema=_schema(), source="bench", rejects=Rejects()))
        )
    rows = min(500, batch.rows)
    distinct = [
        encode_profile(profile_batch(baseline.spec, batch.take(np.arange(i, rows, dtype=np.intp))))
        for i in range(100)
    ]
    parts = distinct * 100
    started = time.process_time()
    merge_encoded(parts, baseline.spec)
    return {
        "profiles": len(parts),
        "seconds": time.process_time() - started,
        "profile_bytes": len(distinct[0]),
    }


def labels(folder: Path) -> dict[str, Any]:
    """Predictions and ground truth to counts of outcomes."""
    from benchmarks.label_join import run_stages

    return run_stages(folder, resident_mb=_resident_mb, peak_mb=_peak_mb)


STAGES: dict[str, Callable[[Path], dict[str, Any]]] = {
    stage.__name__: stage
    for stage in (scan, decode, profile, joint, count, judge, whole, merge, labels)
}


def measure(stage: str, folder: Path) -> dict[str, Any]:
    """Run one stage in a fresh process on one core; adds its peak memory in MB."""
    finished = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "benchmarks.stages", stage, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    if finished.returncode:
        raise SystemExit(f"stage {stage} failed:\n{finished.stderr}")
    result: dict[str, Any] = json.loads(finished.stdout)
    return result


def _schema() -> Any:
    from benchmarks.captures import INPUTS, OUTPUTS
    from driftgauge.capture.schema import CaptureSchema

    return CaptureSchema(inputs=INPUTS, outputs=OUTPUTS)


def _baseline(folder: Path) -> Any:
    from driftgauge.baseline import read_baseline

    return read_baseline(lambda name: (folder / "baseline" / name).read_bytes())


def _judge(baseline: Any) -> Callable[[Any], Any]:
    from driftgauge.config import DecisionSettings
    from driftgauge.drift.decision import judge_window
    from driftgauge.windows import Window

    def judge_day(total: Any) -> Any:
        return judge_window(
            baseline=baseline,
            profile=total,
            decision=DecisionSettings(),
            features={},
            monitor="bench",
            variant="AllTraffic",
            window=Window(DAY, DAY + timedelta(days=1)),
            evaluated_at=DAY + timedelta(days=1),
        )

    return judge_day


def main() -> None:
    """Run the stage named on the command line and print what it measured as JSON."""
    stage, folder = sys.argv[1], Path(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    result = STAGES[stage](folder)
    result["peak_mb"] = _peak_mb()
    print(json.dumps(result))


def _peak_mb() -> float:
    # ru_maxrss would show the parent's peak: Linux carries it over fork and exec.
    found = _status_mb("VmHWM")
    if found is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
    return found


def _resident_mb() -> float:
    return _status_mb("VmRSS") or _peak_mb()


def _status_mb(field: str) -> float | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(text for text in status.read_text().splitlines() if text.startswith(field))
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    main()
