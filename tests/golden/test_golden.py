"""Outputs for fixed seeds stay as they are: ranks, stops and tasks exactly, floats to 1e-9.

A change that is meant to change numbers writes them anew with ``python -m tests.golden.cases`` and
says so in the changelog under "Numbers changed".
"""

import json
import math
from typing import Any

from tests.golden.cases import OUTPUTS, outputs


def differences(found: Any, stored: Any, place: str) -> list[str]:
    if isinstance(stored, dict) and isinstance(found, dict) and found.keys() == stored.keys():
        return [
            text
            for name, value in stored.items()
            for text in differences(found[name], value, f"{place}/{name}")
        ]
    if isinstance(stored, list) and isinstance(found, list | tuple) and len(found) == len(stored):
        return [
            text
            for number, (one, other) in enumerate(zip(found, stored, strict=True))
            for text in differences(one, other, f"{place}/{number}")
        ]
    if isinstance(stored, float) and isinstance(found, float):
        same = math.isclose(found, stored, rel_tol=1e-9, abs_tol=1e-9)
    else:
        same = found == stored
    return [] if same else [f"{place}: expected {stored}, got {found}"]


def test_fixed_seeds_give_the_stored_outputs() -> None:
    stored = json.loads(OUTPUTS.read_text(encoding="utf-8"))
    found = json.loads(json.dumps(outputs()))
    assert found.keys() == stored.keys()
    changed = [text for name in stored for text in differences(found[name], stored[name], name)]
    assert not changed, "\n".join(changed[:30])
