"""What texts on the command line stand for."""

from __future__ import annotations

import argparse


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def count(text: str) -> int:
    """Read a whole number between 1 and 999999.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    if not (text.isdecimal() and len(text) <= 6 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number between 1 and 999999")
    return int(text)


def fraction(text: str) -> float:
    """Read a number between 0 and 1, both excluded.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    value = number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def number(text: str) -> float:
    """Read a number; what is none is -1, which no argument takes."""
    try:
        return float(text)
    except ValueError:
        return -1.0
