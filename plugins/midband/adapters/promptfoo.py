"""promptfoo: the results of an evaluation, a test of one provider and prompt an entry."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import Adapter
from midband.adapters.files import (
    content_hash,
    foreign,
    list_of_objects,
    load_object,
    mapping,
    moment,
    number,
    start_of,
)
from midband.adapters.stated import (
    Quantities,
    choose_metric,
    counted,
    named_benchmark,
    other_metrics,
)
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, OutcomeKind, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

_WHAT = "results of promptfoo"
# The summary of an evaluation, within the file or as the file.
_HEAD = re.compile(
    rb'"evalId":.*"results":\{"|"results":\{"(version":\d,"timestamp|timestamp|prompts|stats)"'
    rb'|"results":(\{"results":)?\[\{.*"(promptIdx|testIdx|gradingResult)":'
)
_ERROR = 2  # of failureReason: the provider failed, not an assertion
_LONGEST = 60  # of a prompt's label in the name of an agent


def sniff(path: Path) -> bool:
    """Whether a JSON file begins like an evaluation that promptfoo has written."""
    start = start_of(path, ".json")
    return start.startswith(b"{") and _HEAD.search(start) is not None


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield an attempt an entry; the agent is the provider, and its prompt where there are several.

    Tests of one content are attempts at one task, as ``--repeat`` makes them. An error of the
    provider is no failure where promptfoo counts errors apart.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        `metric` is ``success`` by default, else ``score`` or the name of a score of the tests.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or nothing names the benchmark.
    """
    data = load_object(path, _WHAT)
    inner = data if isinstance(data.get("results"), list) else mapping(data.get("results"))
    rows = list_of_objects(inner.get("results"), path, _WHAT)
    described = str(mapping(data.get("config")).get("description") or "")
    benchmark = named_benchmark(path, _WHAT, options.benchmark, described)
    named = sorted({name for row in rows for name in mapping(row.get("namedScores"))})
    names = ["success", "score", *(name for name in named if name not in ("success", "score"))]
    chosen = choose_metric(path, options, *names)
    yield from other_metrics(chosen, names)
    stats = mapping(inner.get("stats"))
    agents = _Agents.of(rows)
    yield from _totals(stats, apart="errors" in stats, scored=chosen == "success")
    tasks, quantities = _Tasks(), Quantities()
    metric = Metric(name=chosen, declared="source" if chosen == "success" else "")
    for row in rows:
        if not isinstance(row.get("success"), bool):
            raise foreign(path, _WHAT, "an entry without success")
        agent = options.agent or agents.name(row)
        task, attempt, digest = tasks.place(row, agent)
        broken = _is_broken(row)
        score, kind = _outcome(row, chosen, broken=broken and "errors" in stats)
        yield Record(
            benchmark=benchmark,
            task_id=task,
            agent=agent,
            score=score,
            passed=None if score is None else row["success"],
            kind=kind,
            errored=broken,
            attempt=attempt,
            run_id=str(data.get("evalId") or path.stem),
            model=_provider(row),
            harness="promptfoo",
            started=moment(inner.get("timestamp")),
            cost_usd=quantities.cost(row.get("cost")),
            tokens=quantities.tokens(mapping(row.get("tokenUsage")).get("total")),
            duration_s=_seconds(row.get("latencyMs"), quantities),
            task_digest=digest,
            source_key=f"promptfoo/{row['id']}" if row.get("id") else "",
            metric=metric,
        )
    yield from quantities.notes()


def _totals(stats: Mapping[str, Any], *, apart: bool, scored: bool) -> Iterator[StatedAggregate]:
    """Yield what promptfoo counts over all providers and prompts."""
    successes, failures = number(stats.get("successes")), number(stats.get("failures"))
    errors = number(stats.get("errors")) or 0.0
    yield from counted("successes", successes, "passed")
    if successes is None or failures is None:
        return
    if scored:
        yield from counted("successes + failures", successes + failures, "valid")
    if apart:
        everything = successes + failures + errors
        yield from counted("successes + failures + errors", everything, "attempts")


def _outcome(
    row: Mapping[str, Any], chosen: str, *, broken: bool
) -> tuple[float | None, OutcomeKind]:
    if broken:
        return None, "infra_error"
    if chosen == "success":
        return float(row["success"]), "valid"
    scores = row if chosen == "score" else mapping(row.get("namedScores"))
    score = number(scores.get(chosen))
    return score, "missing" if score is None else "valid"


def _is_broken(row: Mapping[str, Any]) -> bool:
    """Whether the provider failed; the error of a failed assertion is its reason only."""
    if "failureReason" in row:
        return bool(row["failureReason"] == _ERROR)
    return not row.get("success") and bool(mapping(row.get("response")).get("error"))


def _provider(row: Mapping[str, Any]) -> str:
    provider = row.get("provider")
    if isinstance(provider, dict):
        return str(provider.get("label") or provider.get("id") or "")
    return str(provider or "")


def _prompt(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return what identifies the prompt of an entry, and what it is called."""
    prompt = row.get("prompt")
    label = str(mapping(prompt).get("label") or (prompt if isinstance(prompt, str) else ""))
    return str(row.get("promptId") or label), label


def _shows_prompt(row: Mapping[str, Any], label: str) -> bool:
    """Whether a label is made of the prompt itself, as promptfoo makes one where none is given."""
    prompt = row.get("prompt")
    raw = prompt if isinstance(prompt, str) else str(mapping(prompt).get("raw") or "")
    return "{{" in label or "{%" in label or bool(raw and raw in label)


@dataclass(frozen=True)
class _Agents:
    """The names of providers, each with its prompt where there are several prompts."""

    prompts: Sequence[str]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "_Agents":
        return cls(list(dict.fromkeys(_prompt(row)[0] for row in rows)))

    def name(self, row: Mapping[str, Any]) -> str:
        """Return who answered in an entry."""
        provider = _provider(row) or "promptfoo"
        if len(self.prompts) < 2:
            return provider
        key, label = _prompt(row)
        short = bool(label) and len(label) <= _LONGEST and "\n" not in label
        short = short and not _shows_prompt(row, label)
        return f"{provider} [{label if short else f'prompt {self.prompts.index(key) + 1}'}]"


@dataclass
class _Tasks:
    """The tests by content, and how often each agent has been seen at each."""

    ids: dict[str, str] = field(default_factory=dict)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def place(self, row: Mapping[str, Any], agent: str) -> tuple[str, int, str]:
        """Return the id of an entry's test, the number of the attempt, and the content's digest."""
        case = mapping(row.get("testCase"))
        # What a provider adds to the variables as it runs is no part of the test.
        content = [case.get("vars") or row.get("vars"), case.get("assert"), case.get("description")]
        digest = content_hash(content) if any(content) else ""
        place = str(row.get("testIdx", len(self.ids)))
        task = self.ids.setdefault(digest, place) if digest else place
        attempt = self.seen[agent, task]
        self.seen[agent, task] += 1
        return task, attempt, digest


def _seconds(milliseconds: object, quantities: Quantities) -> float | None:
    found = number(milliseconds)
    return quantities.seconds(milliseconds if found is None else found / 1000)


ADAPTER = Adapter(
    Importer(
        name="promptfoo",
        sniff=sniff,
        read=read,
        suffixes=(".json",),
        summary="promptfoo: the JSON of an evaluation; the metrics success and score.",
    ),
)
