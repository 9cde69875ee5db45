"""Prints how long ``midband --help`` and ``import midband`` take: best and median of 15."""

import statistics
import subprocess
import sys
import time

for words in (["-m", "midband", "--help"], ["-c", "import midband"], ["-c", "pass"]):
    seconds = []
    for _ in range(15):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    best, median = min(seconds) * 1000, statistics.median(seconds) * 1000
    print(f"python {' '.join(words):20} best {best:4.0f} ms, median {median:4.0f} ms")
