"""Files at web addresses, downloaded for one import: ``https://`` and ``hf://``."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from midband_history import UnreadableSourceError

_ADDRESS = re.compile(r"(https?|hf)://", re.IGNORECASE)
_HUB = "huggingface.co"
_HF = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?/([^/].*)", re.IGNORECASE)
_MOST_BYTES = 8 << 30
_CHUNK = 1 << 20
_SILENCE_S = 60


@dataclass(kw_only=True)
class Downloads:
    """The files that were downloaded, and those that could not be.

    Parameters
    ----------
    paths : list of Path
        The files, and the paths that were no addresses, in the order given.
    places : dict of str to str
        The address of each downloaded file, without a query, which may hold a secret.
    refused : dict of str to str
        Why an address gave no file, on one line.
    """

    paths: list[Path] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def is_address(text: object) -> bool:
    """Whether a text is the address of a file on the web.

    >>> is_address("hf://datasets/org/name/results.parquet"), is_address("logs/https")
    (True, False)
    """
    return isinstance(text, str) and _ADDRESS.match(text) is not None


def web_address(text: str) -> str:
    """Return the address that a file of the Hugging Face hub is downloaded from; others as given.

    Raises
    ------
    UnreadableSourceError
        It names no single file.

    Examples
    --------
    >>> web_address("hf://datasets/org/name@v1/data/a.parquet")
    'https://huggingface.co/datasets/org/name/resolve/v1/data/a.parquet'
    """
    form = "hf://datasets/OWNER/NAME/FILE"
    if not text.lower().startswith("hf://"):
        try:
            parts = urlsplit(text)
            host = parts.hostname
        except ValueError:
            host = None
        if not host or parts.username or parts.password:
            msg = f"{shown(text)}: expected an address such as https://HOST/FILE: check it"
            raise UnreadableSourceError(msg)
        return text
    match = _HF.fullmatch(text)
    if match is None or any(sign in text for sign in "*?[]") or text.endswith("/"):
        msg = f"{text}: expected one file as {form}, got another form: name each file"
        raise UnreadableSourceError(msg)
    name, revision, path = match.groups()
    place = f"/datasets/{quote(name)}/resolve/{quote(unquote(revision or 'main'), safe='')}"
    return f"https://{_HUB}{place}/{quote(unquote(path))}"


def shown(text: str) -> str:
    """Return an address as it is told and kept: without user, query and fragment."""
    if text.lower().startswith("hf://"):
        return text
    try:
        parts = urlsplit(text)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return text.partition("?")[0]


@contextmanager
def downloaded(sources: Sequence[Path | str]) -> Iterator[Downloads]:
    """Give every source as a path; the files behind addresses are gone afterwards.

    An address that gives no file is told in `Downloads.refused`, and the others are given.
    """
    found = Downloads()
    with TemporaryDirectory(prefix="midband-", ignore_cleanup_errors=True) as folder:
        for number, source in enumerate(sources):
            if not is_address(source):
                found.paths.append(Path(source))
                continue
            address = str(source)
            try:
                target = download(address, Path(folder) / str(number))
            except UnreadableSourceError as error:
                found.refused[shown(address)] = str(error)
            else:
                found.paths.append(target)
                found.places[str(target)] = shown(address)
        yield found


def download(address: str, folder: Path) -> Path:
    """Download one file into a new folder, under its own name.

    ``HF_TOKEN`` is sent to the Hugging Face hub alone, never on to where that redirects.

    Raises
    ------
    UnreadableSourceError
        The address is wrong, the network fails, or the file is cut short or too large.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    url, told = web_address(address), shown(address)
    name = unquote(urlsplit(url).path).rpartition("/")[2].replace("\x00", "")
    folder.mkdir()
    target = folder / (name if name not in ("", ".", "..") else "download")
    try:
        request = Request(url, headers={"User-Agent": "midband"})
        token = os.environ.get("HF_TOKEN")
        parts = urlsplit(url)
        if token and (parts.scheme.lower(), parts.hostname) == ("https", _HUB):
            # An unredirected header is not sent on to the store that the hub redirects to.
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        with urlopen(request, timeout=_SILENCE_S) as answer, target.open("wb") as file:
            expected = answer.headers.get("Content-Length")
            size = 0
            while block := answer.read(_CHUNK):
                size += len(block)
                if size > _MOST_BYTES:
                    msg = f"{told}: expected at most 8 GB: download the file and import that"
                    raise UnreadableSourceError(msg)
                file.write(block)
    except HTTPError as error:
        error.close()
        closed = parts.hostname == _HUB and error.code in (401, 403)
        do = "accept its terms there and set HF_TOKEN" if closed else "check the address"
        msg = f"{told}: expected a file to download, got HTTP {error.code}: {do}"
        raise UnreadableSourceError(msg) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())[:120]
        msg = (
            f"{told}: expected a file to download, got: {reason}: check the network, or download"
            " it elsewhere and import the file"
        )
        raise UnreadableSourceError(msg) from error
    if expected is not None and expected.isdigit() and int(expected) != size:
        msg = f"{told}: expected {int(expected):,} bytes, got {size:,}: import it again"
        raise UnreadableSourceError(msg)
    return target
