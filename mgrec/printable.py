"""Text from data, made safe to print: no control characters, no changes of direction."""

import re

# Control characters but for line feed and tab, line separators, lone surrogates, and the
# characters that override, embed or isolate the direction of the text after them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return text of any number of lines that is safe for a terminal.

    Characters that could move the cursor, change colours or titles, or reverse the order of nearby
    text become escapes, such as ``\\x1b`` and ``\\u202e``.
    """
    return _UNSAFE.sub(lambda found: _escape(found.group()), text)


def inline(text: object) -> str:
    """Return a title or an id that is safe within a line."""
    return printable(str(text)).replace("\n", "\\n").replace("\t", "\\t")


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
