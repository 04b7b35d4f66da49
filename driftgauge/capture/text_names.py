"""Names of the numeric columns that stand for a column of free text."""

from __future__ import annotations

from collections.abc import Collection, Iterable

TEXT_PARTS = (
    "length",
    "words",
    "letters_share",
    "digits_share",
    "punctuation_share",
    "other_share",
    "unique_words_share",
)


def text_parts(name: str) -> tuple[str, ...]:
    """Return the names of the columns that stand for a text.

    Examples
    --------
    >>> text_parts("prompt")[:2]
    ('prompt.length', 'prompt.words')
    """
    return tuple(f"{name}.{part}" for part in TEXT_PARTS)


def text_names(names: Collection[str]) -> tuple[str, ...]:
    """Return the texts that some of the names stand for, in order.

    Examples
    --------
    >>> text_names(["age", *text_parts("prompt")])
    ('prompt',)
    """
    known = set(names)
    suffix = f".{TEXT_PARTS[0]}"
    found = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return tuple(name for name in found if known.issuperset(text_parts(name)))


def captured_names(names: Collection[str]) -> tuple[str, ...]:
    """Return the names as a payload has them: a text instead of the columns that stand for it.

    Examples
    --------
    >>> captured_names(["age", *text_parts("prompt"), "plan"])
    ('age', 'prompt', 'plan')
    """
    owner = {part: name for name in text_names(names) for part in text_parts(name)}
    return tuple(dict.fromkeys(owner.get(name, name) for name in names))


def with_text_parts(names: Iterable[str], texts: Collection[str]) -> tuple[str, ...]:
    """Return names with the columns that stand for a text instead of the text.

    Examples
    --------
    >>> with_text_parts(["answer", "score"], {"answer"})[-1]
    'score'
    """
    found: list[str] = []
    for name in names:
        found.extend(text_parts(name) if name in texts else (name,))
    return tuple(found)
