"""Text made safe to show: column names, categories and reasons come from untrusted payloads."""

from __future__ import annotations

import html


def printable(text: str) -> str:
    r"""Replace every character that does not show by its code point.

    Control characters, terminal escapes, lone surrogates and characters that change the writing
    direction would otherwise let a column name rewrite the line it is printed on.

    Examples
    --------
    >>> printable("carrier")
    'carrier'
    >>> print(printable("a\x1b[31mb"))
    a\u001b[31mb
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def escape(text: str) -> str:
    """Escape text for HTML and SVG, as content and in quoted attributes.

    Examples
    --------
    >>> escape('<script> & "quotes"')
    '&lt;script&gt; &amp; &quot;quotes&quot;'
    """
    return html.escape(printable(text), quote=True)


def shorten(text: str, limit: int) -> str:
    """Cut text to ``limit`` characters, the last one an ellipsis.

    Examples
    --------
    >>> shorten("departure_delay", 8)
    'departu…'
    """
    text = printable(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
