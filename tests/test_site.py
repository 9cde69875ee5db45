"""The documentation site builds without a warning, loads nothing from afar, and is complete."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.browsing import chromium_running
from tests.environments import ROOT

from midband.report.glossary import TERMS

if TYPE_CHECKING:
    from playwright.sync_api import Page

PACKAGES = ("midband", "midband_history", "midband_sampler", "midband_sims")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", directory],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr.strip(), done.stderr
    return directory


def _pages(site: Path) -> dict[str, str]:
    pages = site.rglob("*.html")
    return {str(page.relative_to(site)): page.read_text(encoding="utf-8") for page in pages}


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs")
        built = name.with_name("index.html") if name.stem == "README" else name.with_suffix(".html")
        assert (site / built).is_file(), name
        assert f"{name}\n" in navigation, name


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    loading = r"<(?:script|img|iframe|source|video|link(?![^>]*rel=\"(?:prev|next)))\b[^>]*"
    for name, text in _pages(site).items():
        for tag in re.findall(loading, text):
            assert "//" not in tag, (name, tag)
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", text), sheet.name


def test_bars_in_the_code_of_tables_are_bars(site: Path) -> None:
    text = (site / "run.html").read_text(encoding="utf-8")
    assert "<code>--max-errors N|SHARE</code>" in text
    assert not any("\\|" in cell for cell in re.findall(r"<td>(.*?)</td>", text))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_holds_every_public_name(site: Path, package: str) -> None:
    text = (site / "api" / f"{package}.html").read_text(encoding="utf-8")
    for name in importlib.import_module(package).__all__:
        shown = re.search(rf'[#"]midband\w*(?:\.\w+)*\.{name}"', text)
        assert shown or f"<code>{name}</code>" in text, f"name it in docs/api/{package}.md: {name}"


def test_the_glossary_is_that_of_the_reports() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^## (.+)\n\n((?:.+\n)+)", page, re.MULTILINE)
    assert {term: " ".join(text.split()) for term, text in entries} == dict(TERMS)
    assert [term for term, _ in entries] == sorted(TERMS)


def _search(page: "Page") -> str:
    page.keyboard.press("s")
    page.keyboard.type("tie group")
    return page.locator(".md-search-result__item").first.inner_text()


def test_the_site_can_be_read_and_searched_as_files_on_a_phone_and_on_a_desk(site: Path) -> None:
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    with chromium_running() as browser:
        for width, dark in ((390, False), (1600, True)):
            for name in ("index", "tutorial", "guarantees", "evidence/statistics"):
                overflow = browser.see(
                    site / f"{name}.html",
                    lambda page: page.evaluate(wider),
                    width=width,
                    dark=dark,
                    ready="footer",
                )
                assert overflow <= 0, f"{name} is {overflow} pixels too wide at {width}"
        found = browser.see(site / "index.html", _search, width=1600, ready="footer")
    assert "The known agents whose scores lie within the bounds" in found
