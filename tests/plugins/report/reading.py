"""What a page says, read from its HTML as a test wants it."""

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Read:
    """The parts of a page, as plain text.

    Parameters
    ----------
    path : Path
    title : str
    verdict, warnings, missing : list of str
    facts : dict of str to str
    sections : dict of str to list of str
        Paragraphs, by the heading of their section.
    tables : dict of str to list of list of str
        The rows that stand in the document, by title.
    numbers : dict of str to list of dict
        The data of each chart, by title.
    """

    path: Path
    title: str
    verdict: list[str]
    warnings: list[str]
    missing: list[str]
    facts: dict[str, str]
    sections: dict[str, list[str]]
    tables: dict[str, list[list[str]]]
    numbers: dict[str, list[dict[str, Any]]]


def read_page(path: Path) -> Read:
    """Read a page that `midband report` wrote."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'<span class="tip".*?</span>', "", text)
    text = text.partition('<script type="text/plain" id="vega">')[0]
    notes = {
        name: _items(found[1])
        for name in ("warnings", "missing")
        if (found := re.search(rf'<aside class="note {name}".*?<ul>(.*?)</ul>', text))
    }
    verdict = re.search(r'<div class="verdict".*?>(.*?)</div>', text)
    facts = re.search(r'<dl class="facts">(.*?)</dl>', text)
    assert verdict is not None
    sections, tables, numbers = {}, {}, {}
    for part in re.findall(r"<section .*?</section>", text, re.DOTALL):
        title = _plain(re.search(r"<h2.*?>(.*?)</h2>", part))
        head = part.partition('<div class="parts">')[0]
        sections[title] = [_clean(each) for each in re.findall(r"<p>(.*?)</p>", head)]
        for box in re.findall(r'<div class="tablebox.*?</table>', part, re.DOTALL):
            body = re.search(r"<tbody>(.*?)</tbody>", box)
            assert body is not None
            tables[_plain(re.search(r"<h3>(.*?)</h3>", box))] = [
                [_clean(cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row)]
                for row in re.findall(r"<tr.*?</tr>", body[1])
            ]
        for figure in re.findall(r"<figure.*?</figure>", part, re.DOTALL):
            data = re.search(r'<script type="application/json">(.*?)</script>', figure)
            title = _plain(re.search(r"<h3>(.*?)</h3>", figure))
            numbers[title] = [] if data is None else json.loads(data[1])["data"]["values"]
    return Read(
        path=path,
        title=_plain(re.search(r"<h1>(.*?)</h1>", text)),
        verdict=[_clean(each) for each in re.findall(r"<p.*?>(.*?)</p>", verdict[1])],
        warnings=notes.get("warnings", []),
        missing=notes.get("missing", []),
        facts={}
        if facts is None
        else {
            _clean(name): _clean(value)
            for name, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", facts[1])
        },
        sections=sections,
        tables=tables,
        numbers=numbers,
    )


def _items(text: str) -> list[str]:
    return [_clean(each) for each in re.findall(r"<li>(.*?)</li>", text)]


def _plain(found: "re.Match[str] | None") -> str:
    assert found is not None
    return _clean(found[1])


def _clean(text: str) -> str:
    plain = html.unescape(re.sub(r"<[^>]*>", "", text))
    return plain.replace("\N{NO-BREAK SPACE}", " ")
