"""Reports: pages that say what came of a run, a race or a study, and what they rest on."""

from midband.report.glossary import TERMS
from midband.report.page import Cell, Chart, Page, Section, Table, render

__all__ = ["TERMS", "Cell", "Chart", "Page", "Section", "Table", "render"]
