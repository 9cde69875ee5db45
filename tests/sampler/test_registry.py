"""A rule or a strategy is one new file: whatever lies in the folder is found."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from midband_sampler import Rule, Strategy, parse_stop, rule_names, strategies, strategy_names
from midband_sampler.registry import kinds_in
from midband_sampler.stopping.parse import rules

RULE = '''
from dataclasses import dataclass

import numpy as np

from midband_sampler import Claim, Rule, TopK


@dataclass(frozen=True)
class BottomHalf(Rule):
    """Stop when the candidate is certainly in the bottom half."""

    name = "bottom-half"
    confidence: float = 0.95

    def met(self, snapshot):
        return np.asarray(snapshot.rank_low > (len(snapshot.reference_agents) + 1) / 2)

    def claim(self, snapshot):
        return Claim("in the bottom half", self.confidence)
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "more_rules"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "bottom_half.py").write_text(RULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "more_rules"
    for name in ("more_rules.bottom_half", "more_rules"):
        sys.modules.pop(name, None)


def test_a_rule_is_found_by_the_file_it_lies_in(package: str) -> None:
    (kind,) = kinds_in(package, Rule)  # type: ignore[type-abstract]
    assert kind.forms() == ("bottom-half:CONFIDENCE",)
    rule = parse_stop("bottom-half:0.9 or tasks:20", dict(kind.readers()))
    first = rule.to_dict()["rules"][0]  # type: ignore[index]
    assert first == {"rule": "bottom-half", "confidence": 0.9}
    assert list(kinds_in(package, Strategy)) == []  # type: ignore[type-abstract]


def test_every_file_of_the_folders_is_a_rule_or_a_strategy_that_is_known() -> None:
    known = ("rank", "beats", "not-worse", "top", "score", "budget", "none", "futility")
    assert {*known, "any", "all"} == set(rules())
    assert {"rank", "usd", "hopeless", "futility", "and"} <= rule_names()
    assert set(strategies()) | {"auto"} == set(strategy_names())
    live = [each for each in strategies().values() if each.live]
    assert {each.fixed().name for each in live} <= set(strategies())
    for each in strategies().values():
        assert each.fixed() is each or each.live
