"""Names as the history holds them."""

import unicodedata

# What surrounds a cell without being part of it; the no-break space comes from spreadsheets.
BLANKS = " \t\r\n\v\f\u00a0"


def clean_id(text: str) -> str:
    """Return a name as the history holds it: in NFC, without blanks around it.

    Two spellings that look the same are one name: `é` as one character or as two (macOS writes
    file names in the second form). What UTF-8 cannot hold, a lone surrogate from a broken log or
    a file name in another encoding, becomes a question mark. Digits are never touched, so `007`
    and `7` stay apart, and `1` and `1.0` too.

    Parameters
    ----------
    text : str
        The name of a task, agent, benchmark or run.

    Returns
    -------
    str
        Empty if nothing but blanks was given; the caller decides whether that is an error.
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = unicodedata.normalize("NFC", text)
    return text.strip(BLANKS)
