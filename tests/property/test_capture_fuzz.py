"""The capture reader takes mutated records without a crash, and accounts for each of them."""

from __future__ import annotations

from benchmarks.fuzz_capture import fuzz


def test_each_mutated_record_is_accepted_or_rejected() -> None:
    outcomes = list(fuzz(records=3000, seed=7))
    outcome = outcomes[-1]
    assert outcome.mutated >= 3000
    assert outcome.accepted + outcome.rejected == outcome.lines
    assert outcome.accepted > 1000
    assert outcome.rejected > 1000
    assert outcome.alike > 0
