"""Words of categorical columns: one text per value, and the sample of unseen ones.

Words that the baseline does not have are kept as the ``SAMPLE_SIZE`` with the smallest hashes.
Such samples merge exactly: a word among the smallest of a union is among the smallest of every
part that has it, so its count there is known. Source: Bar-Yossef et al., "Counting distinct
elements in a data stream", RANDOM 2002 (k minimum values).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from heapq import nsmallest

import numpy as np

from driftgauge.columns import Column

SAMPLE_SIZE = 64
LONGEST_WORD = 256
_KEPT_OF_LONG_WORD = 200
_HASH_SPAN = 2.0**64
# Above this, whole floats are not exact integers any more.
_LARGEST_WHOLE = 2.0**53


def canonical_word(word: str) -> str:
    """Return the text a value is counted under: encodable, and at most 256 characters.

    A longer word becomes its first 200 characters and a digest of the whole; a lone surrogate
    becomes its escape.

    Examples
    --------
    >>> canonical_word("AA"), len(canonical_word("x" * 5000))
    ('AA', 233)
    """
    if not word.isascii():
        word = word.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(word) <= LONGEST_WORD:
        return word
    digest = blake2b(word.encode("utf-8"), digest_size=16).hexdigest()
    return f"{word[:_KEPT_OF_LONG_WORD]}~{digest}"


def number_word(value: float) -> str:
    """Return the text of a number that stands in a categorical column.

    Examples
    --------
    >>> number_word(1.0), number_word(-0.0), number_word(2.5)
    ('1', '0', '2.5')
    """
    if value.is_integer() and abs(value) <= _LARGEST_WHOLE:
        return str(int(value))
    return repr(value)


def count_words(column: Column) -> dict[str, int]:
    """Count the words of a column; a finite number counts as its text.

    Examples
    --------
    >>> from driftgauge.columns import TypeCounts
    >>> codes = np.array([0, -1, 0], dtype=np.int32)
    >>> numbers = np.array([np.nan, 7.0, np.nan])
    >>> types = TypeCounts(integral=1, text=2)
    >>> count_words(Column(numbers=numbers, types=types, codes=codes, words=("AA",)))
    {'AA': 2, '7': 1}
    """
    total: dict[str, int] = {}
    if column.codes is not None:
        counts = np.bincount(column.codes + 1, minlength=len(column.words) + 1)[1:].tolist()
        for text, count in zip(column.words, counts, strict=True):
            if count:
                word = canonical_word(text)
                total[word] = total.get(word, 0) + count
    if column.types.integral or column.types.fractional:
        numbers = column.numbers[np.isfinite(column.numbers)]
        values, repeats = np.unique(numbers, return_counts=True)
        for value, count in zip(values.tolist(), repeats.tolist(), strict=True):
            word = number_word(value)
            total[word] = total.get(word, 0) + count
    return total


def _digest(word: str) -> bytes:
    """Return a hash of 64 bits that is the same in every process."""
    return blake2b(word.encode("utf-8"), digest_size=8).digest()


def smallest(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the sample of a set of counted words: those with the smallest hashes, in order."""
    found = nsmallest(SAMPLE_SIZE, ((_digest(word), word) for word in counts))
    return {word: counts[word] for _, word in found}


def merge_samples(samples: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add samples; the result is the sample of the union.

    Examples
    --------
    >>> merge_samples([{"a": 1}, {"a": 2}])
    {'a': 3}
    """
    total: dict[str, int] = {}
    for sample in samples:
        for word, count in sample.items():
            total[word] = total.get(word, 0) + count
        if len(total) > 64 * SAMPLE_SIZE:
            total = smallest(total)
    return smallest(total)


def estimate_distinct(sample: Mapping[str, int]) -> int:
    """Estimate how many distinct words a sample stands for.

    Exact while the sample is not full; then (k - 1) / h, where h is the largest kept hash as a
    share of the span of hashes: a standard error of about 1/sqrt(k - 2), 13 %.

    Examples
    --------
    >>> estimate_distinct({"a": 3, "b": 1})
    2
    """
    if len(sample) < SAMPLE_SIZE:
        return len(sample)
    largest = int.from_bytes(max(map(_digest, sample)), "big")
    return max(SAMPLE_SIZE, round((SAMPLE_SIZE - 1) * _HASH_SPAN / (largest + 1)))
