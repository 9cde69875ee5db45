"""Foreign text: on one line that steers no terminal, and without what looks like a credential."""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

HIDDEN = "***"
BLOCK_WIDTH = 80
# For what wraps the lines itself, as a viewer of logs does.
UNFOLDED = 1_000_000
_LEAST_WIDTH = 20
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


def block_width(stream: TextIO | None = None) -> int:
    """Return the columns that a block of lines may take: 80, or fewer on a narrower terminal.

    Parameters
    ----------
    stream : text stream, optional
        Where the lines go; standard output by default.
    """
    return terminal_width(sys.stdout if stream is None else stream, most=BLOCK_WIDTH)


def terminal_width(stream: TextIO | None, *, most: int) -> int:
    """Return the columns of a terminal, but `most` at most; `most` for what is none.

    The environment variable COLUMNS goes before what the terminal says.
    """
    try:
        if stream is None or not stream.isatty():
            return most
        asked = os.environ.get("COLUMNS", "")
        width = int(asked) if asked.isdigit() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return most
    return max(min(width, most), _LEAST_WIDTH) if width else most


def encoding_of(stream: TextIO | None = None) -> str:
    """Return the encoding of a stream, standard output by default; ASCII where it has none."""
    return getattr(sys.stdout if stream is None else stream, "encoding", None) or "ascii"


def _shown(found: "re.Match[str]") -> str:
    character = found[0]
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The last word of a name, or the last two: `model_api_key` is one, `max_tokens` is none.
_NAMES = _words(
    """
    apikey apitoken apisecret accesskey secretkey privatekey authtoken accesstoken secret
    secrets password passwd passwort pwd passphrase credential credentials authorization
    bearer cookie cookies jwt pat otp
    """
)
_KEYS = _words(
    """
    api access secret private auth account subscription master service signing encryption
    license licence admin deploy ssh azure openai anthropic aws google gemini hf
    """
)
# Words before `token` that say which token of a text is meant, or how such tokens are dealt with.
_TEXT_TOKENS = _words(
    """
    pad padding eos bos unk mask sep cls stop start end begin special image video audio next
    first last max min per prefix suffix new think thinking prompt assistant user system add
    by each cost usd price time seconds ms
    """
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_FORMS = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    r"sk-[A-Za-z0-9_\-]{3,}|(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{3,}"
    r"|(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{10,}|github_pat_[A-Za-z0-9_]{10,}"
    r"|glpat-[A-Za-z0-9_\-]{10,}|hf_[A-Za-z0-9]{10,}|gsk_[A-Za-z0-9]{10,}|r8_[A-Za-z0-9]{10,}"
    r"|xai-[A-Za-z0-9]{10,}|pplx-[A-Za-z0-9]{10,}|nvapi-[A-Za-z0-9_\-]{10,}"
    r"|tvly-[A-Za-z0-9_\-]{10,}|xox[abeoprs]-[A-Za-z0-9\-]{8,}|dop_v1_[a-f0-9]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[A-Za-z0-9_\-]{20,}|ya29\.[A-Za-z0-9_\-]{10,}"
    r"|eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]*"
    r")"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
    re.DOTALL,
)
_SCHEMES = re.compile(
    r"""(?i)(authorization["']?\s*[:=]\s*["']?\w+\s+|\bbearer\s+)[A-Za-z0-9+/_.=~:\-]{6,}"""
)
_USERINFO = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")
_NAME = re.compile(r"""(?<![\w.\-])-*+(?P<name>[A-Za-z_][\w.\-]*+)["']?\s*[=:]\s*""")
_VALUE = re.compile(r"""(?P<quote>["']).*?(?<!\\)(?P=quote)|[^\s,;&"'{}\[\]]+""", re.DOTALL)


def is_credential_name(name: str) -> bool:
    """Whether a name of an option, a setting or a variable is that of a credential.

    Parameters
    ----------
    name : str
        In any of the usual spellings: ``--api-key``, ``OPENAI_API_KEY``, ``apiKey``.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and (words[-1].isdigit() or words[-1] in ("value", "id")):
        if words.pop() == "id" and words[-2:] != ["access", "key"]:
            return False
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _NAMES or f"{before}{last}" in _NAMES:
        return True
    if last in ("key", "keys"):
        return before in _KEYS
    if last == "token":
        return before not in _TEXT_TOKENS
    return last == "tokens" and before in ("auth", "access", "api", "bearer", "refresh")


def without_credentials(text: str) -> str:
    """Return a text in which each credential is replaced by ``***``.

    Found are those that a name gives away (``api_key=...``, ``"token": "..."``), those of a known
    form (``sk-...``, ``ghp_...``), what follows ``Bearer``, and the user part of an address.
    """
    text = _USERINFO.sub(HIDDEN, text)
    text = _SCHEMES.sub(lambda found: f"{found[1]}{HIDDEN}", text)
    text = _FORMS.sub(HIDDEN, text)
    parts, place = [], 0
    # A value that is no credential is searched as well: it may be a pair, or hold some.
    for found in _NAME.finditer(text):
        value = _VALUE.match(text, found.end()) if is_credential_name(found["name"]) else None
        if value is None or found.start() < place:
            continue
        quote = value["quote"] or ""
        parts += [text[place : found.end()], quote, HIDDEN, quote]
        place = value.end()
    return "".join([*parts, text[place:]])


def arguments_without_credentials(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command line, each credential replaced by ``***``.

    The word after an option that is called like a credential counts as one.
    """
    shown: list[str] = []
    hide_next = False
    for word in arguments:
        if hide_next and not word.startswith("--"):
            shown.append(HIDDEN)
            hide_next = False
            continue
        hide_next = word.startswith("-") and "=" not in word and is_credential_name(word)
        shown.append(without_credentials(word))
    return tuple(shown)


def settings_without_credentials(value: object) -> object:
    """Return nested settings without the entries that look like credentials.

    An entry whose name is that of a credential is left out with all below it; in texts the
    credential alone is replaced. A list of words is read as a command line is.
    """
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {
            name: settings_without_credentials(item)
            for name, item in value.items()
            if not is_credential_name(str(name))
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return _list_without_credentials(value)
    return value


def _list_without_credentials(value: Iterable[object]) -> list[object]:
    items = list(value)
    words = [item for item in items if isinstance(item, str)]
    if len(words) == len(items):
        return list(arguments_without_credentials(words))
    return [settings_without_credentials(item) for item in items]


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKS = re.compile(r"([\\`*_{}\[\]|~#$])")
# An empty comment keeps what follows from becoming a mention, a reference or a link.
_LINKS = re.compile(r"(@|\\#|(?i:GH)(?=-\d)|:(?=//)|(?i:www)(?=\.))")
_BREAK = "<!-- -->"


def marked(text: str) -> str:
    """Return a text of whatever origin that Markdown and HTML show as it is, on one line.

    Nothing in it is markup, ends a cell of a table, mentions anybody or becomes a link.
    """
    plain = "".join(_ENTITIES.get(each, each) for each in one_line(text))
    return _LINKS.sub(rf"\1{_BREAK}", _MARKS.sub(r"\\\1", plain))
