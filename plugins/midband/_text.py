"""Foreign text on a terminal: names and messages that cannot steer it or forge a line."""

import re

# C0 and C1 (tab, newline, ESC and what opens an OSC among them), line separators, what turns the
# direction of writing, and the halves of characters that stand for bytes of no encoding.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def one_line(text: str) -> str:
    r"""Return a text as one line that shows what it holds: ESC as ``\x1b``, a newline as ``\n``.

    Parameters
    ----------
    text : str
        Of whatever origin.
    """
    return _STEERING.sub(_shown, text)


def _shown(found: "re.Match[str]") -> str:
    character = found[0]
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
