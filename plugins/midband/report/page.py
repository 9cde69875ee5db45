"""The page: what every report is made of, and how it becomes one HTML file without a network."""

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from midband.report.glossary import PATTERN, TERMS
from midband.report.values import (
    UNKNOWN,
    Cell,
    cell_of,
    column_style,
    json_for_script,
    shown,
)
from midband.text import one_line
from midband_history import InputError

__all__ = ["Cell", "Chart", "Page", "Section", "Table", "draws_charts", "render"]

ROWS_SHOWN = 25
_PERCENT = re.compile(r"(?<=\d) %")
NO_CHARTS = (
    "The charts are left out, because the packages that draw them are not installed:"
    " pip install 'midband[report]'"
)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart, drawn by the browser.

    Parameters
    ----------
    title : str
    spec : dict
        A Vega-Lite specification with its data inline. Without a ``width`` it takes the width of
        the page. The texts ``$ink``, ``$muted``, ``$faint``, ``$ground``, ``$raised``, ``$accent``,
        ``$second``, ``$third``, ``$fourth`` and ``$fifth`` outside the data stand for colours that
        fit light and dark pages and that colour-blind readers can tell apart.
    reading : str
        One sentence on how to read it.
    wide : bool
        Whether it takes the whole width; two narrow charts stand beside each other.
    summary : str
        What the picture shows, in words, for readers who do not see it.
    """

    title: str
    spec: Mapping[str, Any]
    reading: str
    wide: bool = True
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that sorts by each of its columns.

    Parameters
    ----------
    title : str
    columns : tuple of str
    rows : tuple of tuple
        Cells are str, int, float, `Cell` or None; unknown ones (None and NaN) are an en dash.
    note : str
        What a reader must know of it.
    highlight : tuple of int
        Places of rows that stand out.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    note: str = ""
    highlight: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        odd = next((row for row in self.rows if len(row) != len(self.columns)), None)
        if odd is not None:
            msg = (
                f"expected rows of {len(self.columns)} cells in the table {self.title!r}, got one"
                f" of {len(odd)}: give a cell for each column"
            )
            raise InputError(msg)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page with a heading.

    Parameters
    ----------
    title : str
    text : tuple of str
        Paragraphs.
    parts : tuple of Chart or Table
    """

    title: str
    text: tuple[str, ...] = ()
    parts: tuple[Chart | Table, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report.

    Parameters
    ----------
    title : str
    verdict : tuple of str
        The two sentences that say what came of it, then what they rest on.
    facts : tuple of (str, str)
        The command, versions, date, number of agents and the like, by name.
    warnings : tuple of str
    missing : tuple of str
        What is not known, and why.
    sections : tuple of Section
    refresh_s : int
        Seconds after which the page loads itself anew; 0 for never.
    """

    title: str
    verdict: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    refresh_s: int = 0


def render(page: Page) -> str:
    """Return the page as one HTML document that loads nothing and runs no script but ours.

    All texts are foreign: they are escaped, shown on one line, and never read as HTML. A policy in
    the document forbids every request and every script whose content is not known beforehand.
    Charts need the extra ``report``; without it the page says so and shows the rest.
    """
    drawn = any(isinstance(part, Chart) for section in page.sections for part in section.parts)
    library = _library() if drawn else ""
    missing = (*page.missing, *([NO_CHARTS] if drawn and not library else []))
    writer = _Writer(charts=bool(library))
    body = [
        '<a class="skip" href="#verdict">Skip to the verdict</a>',
        _bar(page, warnings=bool(page.warnings), missing=bool(missing)),
        "<main>",
        f"<h1>{_text(page.title)}</h1>",
        _verdict(page, writer),
        _note("warnings", "Warnings", page.warnings, writer),
        _note("missing", "What is missing", missing, writer),
        _facts(page),
        *(writer.section(number, each) for number, each in enumerate(page.sections, 1)),
        writer.glossary(),
        "</main>",
        "<footer>Made by midband. This file loads nothing from a network.</footer>",
    ]
    script = _asset("page.js")
    if library:
        body.append(f'<script type="text/plain" id="vega">{library}</script>')
    body.append(f"<script>{script}</script>")
    refresh = f' data-refresh="{int(page.refresh_s)}"' if page.refresh_s else ""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(script, library)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{_text(page.title)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>{_asset('page.css')}</style>",
            "</head>",
            f"<body{refresh}>",
            *(part for part in body if part),
            "</body>",
            "</html>",
            "",
        ]
    )


def _policy(*scripts: str) -> str:
    """Return a policy that allows no request, and no script except these."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'"
        for each in scripts
        if each
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return files("midband.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _library() -> str:
    """Return what draws charts, fit for a script element; empty where it is not installed."""
    try:
        import vl_convert
    except ImportError:
        return ""
    found = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    # A script element ends at the first `</script`, wherever it stands.
    return re.sub("(?i)</(?=script)", r"<\\/", found.replace("\r", "")).replace("<!--", r"<\!--")


def draws_charts() -> bool:
    """Whether what draws charts is installed."""
    return bool(_library())


def _text(text: object) -> str:
    return html.escape(one_line(str(text)))


def _bar(page: Page, *, warnings: bool, missing: bool) -> str:
    links = [("verdict", "Verdict")]
    links += [("warnings", "Warnings")] if warnings else []
    links += [("missing", "What is missing")] if missing else []
    links += [(f"section-{n}", each.title) for n, each in enumerate(page.sections, 1)]
    shown = "".join(f'<a href="#{name}">{_text(title)}</a>' for name, title in links)
    return f'<nav class="bar" aria-label="Sections"><span class="brand">midband</span>{shown}</nav>'


def _verdict(page: Page, writer: "_Writer") -> str:
    names = {0: ' class="leading"', 1: ' class="second"'}
    lines = [
        f"<p{names.get(place, '')}>{writer.prose(line)}</p>"
        for place, line in enumerate(page.verdict)
    ]
    return f'<div class="verdict" id="verdict">{"".join(lines)}</div>'


def _note(name: str, title: str, lines: Sequence[str], writer: "_Writer") -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{writer.prose(line)}</li>" for line in lines)
    return (
        f'<aside class="note {name}" id="{name}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{title}</h2><ul>{items}</ul></aside>'
    )


def _facts(page: Page) -> str:
    if not page.facts:
        return ""
    lines = []
    for name, value in page.facts:
        shown = _text(value)
        if "command" in name.lower():
            shown = f"<code>{shown}</code>"
        lines.append(f"<dt>{_text(name)}</dt><dd>{shown}</dd>")
    return f'<dl class="facts">{"".join(lines)}</dl>'


class _Writer:
    """Writes what stands on a page in its order, and marks each term where it is first used."""

    def __init__(self, *, charts: bool) -> None:
        self._charts = charts
        self._used: dict[str, None] = {}

    def prose(self, text: str) -> str:
        """Return a text with the terms that it uses first, each with its explanation."""
        parts, place = [], 0
        text = _PERCENT.sub("\N{NO-BREAK SPACE}%", one_line(text))
        for found in PATTERN.finditer(text):
            term = found[1].lower()
            if term in self._used:
                continue
            self._used[term] = None
            number = len(self._used)
            parts.append(html.escape(text[place : found.start()]))
            parts.append(
                f'<span class="term" tabindex="0" aria-describedby="term-{number}">'
                f"{html.escape(found[0])}"
                f'<span class="tip" role="tooltip" id="term-{number}">{_text(TERMS[term])}</span>'
                "</span>"
            )
            place = found.end()
        return "".join([*parts, html.escape(text[place:])])

    def section(self, number: int, section: Section) -> str:
        """Return a section."""
        text = "".join(f"<p>{self.prose(each)}</p>" for each in section.text)
        parts = "".join(
            self._chart(each) if isinstance(each, Chart) else self._table(each)
            for each in section.parts
        )
        parts = f'<div class="parts">{parts}</div>' if parts else ""
        return (
            f'<section id="section-{number}" aria-labelledby="section-{number}-title">'
            f'<h2 id="section-{number}-title">{_text(section.title)}</h2>{text}{parts}</section>'
        )

    def _chart(self, chart: Chart) -> str:
        label = " ".join(part for part in (chart.title + ".", chart.summary, chart.reading) if part)
        wide = " wide" if chart.wide else ""
        spec = json_for_script(_with_width(chart.spec))
        if not self._charts:
            inside = '<p class="placeholder">The chart is left out; see what is missing.</p>'
            state = ' data-state="none"'
        else:
            inside = (
                f'<div class="chart"><div class="canvas" role="img" aria-label="{_text(label)}">'
                '<p class="placeholder">The chart is drawn by a script.</p></div></div>'
                '<details class="numbers"><summary>The numbers of this chart</summary></details>'
                f'<script type="application/json">{spec}</script>'
            )
            state = ' data-state="waiting"'
        return (
            f'<figure class="{"drawn-here" if self._charts else "left-out"}{wide}"{state}>'
            f"<figcaption><h3>{_text(chart.title)}</h3><p>{self.prose(chart.reading)}</p>"
            f"</figcaption>{inside}</figure>"
        )

    def _table(self, table: Table) -> str:
        rows = [[cell_of(each) for each in row] for row in table.rows]
        marked = set(table.highlight)
        styles = [column_style([row[place] for row in rows]) for place in range(len(table.columns))]
        kinds = [f' class="{each}"' if each else "" for each in styles]
        heads = "".join(
            f'<th scope="col" aria-sort="none"{kind}><button type="button">{_text(name)}</button>'
            "</th>"
            for name, kind in zip(table.columns, kinds, strict=True)
        )
        lines = []
        for place, row in enumerate(rows[:ROWS_SHOWN]):
            cells = zip(row, kinds, strict=True)
            line = "".join(f"<td{kind}>{html.escape(shown(each))}</td>" for each, kind in cells)
            mark = ' class="marked"' if place in marked else ""
            lines.append(f"<tr{mark}>{line}</tr>")
        data = json_for_script({"rows": rows, "styles": styles, "marked": sorted(marked)})
        title = _text(table.title)
        note = f"<p>{self.prose(table.note)}</p>" if table.note else ""
        return (
            f'<div class="tablebox wide"><h3>{title}</h3>{note}{_tools(len(rows), title)}'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table>'
            f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
            f'<script type="application/json">{data}</script></div>'
        )

    def glossary(self) -> str:
        """Return the terms that the page used, with their explanations."""
        if not self._used:
            return ""
        entries = "".join(
            f"<dt>{_text(term)}</dt><dd>{_text(TERMS[term])}</dd>" for term in sorted(self._used)
        )
        return (
            '<section id="glossary" aria-labelledby="glossary-title">'
            f'<h2 id="glossary-title">Glossary</h2><dl class="glossary">{entries}</dl></section>'
        )


def _tools(rows: int, title: str) -> str:
    if rows <= ROWS_SHOWN:
        return ""
    return (
        '<div class="tools">'
        f'<label>Filter <input type="search" aria-label="Filter {title}"></label>'
        f'<span class="count" aria-live="polite">Rows 1{UNKNOWN}{ROWS_SHOWN} of {rows:,}</span>'
        '<button type="button">Previous</button><button type="button">Next</button></div>'
    )


def _with_width(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification that takes the width of the page unless it has one of its own."""
    found = dict(spec)
    if not {"width", "hconcat", "vconcat", "concat", "facet", "repeat"} & set(spec):
        found |= {"width": "container"}
    if found.get("width") == "container":
        found.setdefault("autosize", {"type": "fit-x", "contains": "padding"})
    return found
