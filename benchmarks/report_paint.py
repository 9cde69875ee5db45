"""How large the page of a large history is, and how soon a browser shows it.

``PYTHONPATH=. python benchmarks/report_paint.py [AGENTS TASKS]`` prints a line for each width of a
window.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tests.browsing import chromium_running

from midband.report import render
from midband.report.history import page_of
from midband.report.history_facts import HistoryFacts
from midband_history import BenchmarkSummary, OutcomeMatrix
from midband_sampler import check_tasks

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_NODES = "document.querySelectorAll('*').length"


def main() -> None:
    """Make the page, and open it."""
    agents, tasks = map(int, sys.argv[1:3] or (2000, 500))
    rng = np.random.default_rng(1)
    scores = (rng.random((agents, tasks)) < rng.random(tasks)).astype(float)
    dates = np.datetime64("2024-01-01", "s") + rng.integers(0, 5 * 10**7, agents)
    matrix = OutcomeMatrix.from_scores(scores, benchmark="large", dates=dates)
    begun = time.perf_counter()
    summary = BenchmarkSummary("large", tasks, agents, scores.size, None, None, float("nan"))
    facts = HistoryFacts(matrix=matrix, summary=summary, tasks=check_tasks(matrix))
    text = render(page_of(facts))
    made = time.perf_counter() - begun
    print(f"{agents} agents x {tasks} tasks: {len(text.encode()) / 1e6:.2f} MB in {made:.1f} s")
    with tempfile.TemporaryDirectory() as folder, chromium_running() as chromium:
        path = Path(folder, "history.html")
        path.write_text(text, encoding="utf-8")
        for width in (390, 1600):
            begun = time.perf_counter()
            paint, nodes = chromium.see(
                path, lambda page: (page.evaluate(_PAINT), page.evaluate(_NODES)), width=width
            )
            drawn = time.perf_counter() - begun
            print(
                f"{width} pixels: first paint {paint:.0f} ms, all in {drawn:.1f} s, {nodes} nodes"
            )


if __name__ == "__main__":
    main()
