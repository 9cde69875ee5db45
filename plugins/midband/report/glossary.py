"""The glossary: the terms that midband's pages use, each in one or two plain sentences."""

import re
from collections.abc import Mapping
from types import MappingProxyType

TERMS: Mapping[str, str] = MappingProxyType(
    {
        "candidate": (
            "The new agent whose rank is asked for, or one of the agents that a race compares."
        ),
        "reference agent": (
            "An agent of the history whose results are known. The candidate is ranked among the"
            " reference agents."
        ),
        "target": (
            "The set of tasks that a rank or a score is about. It is either the full benchmark or"
            " the planned tasks."
        ),
        "full benchmark": "All tasks of the benchmark, whether they ran or not.",
        "planned tasks": (
            "The tasks that the plan may run. A rank on them says nothing of the other tasks of the"
            " benchmark."
        ),
        "rank interval": (
            "The lowest and the highest rank that the results leave possible at the stated"
            " confidence. Rank 1 is the best."
        ),
        "confidence": (
            "How often a statement of this kind is true, over many runs: that an interval holds the"
            " true rank, or that an answer is right. The guarantee says under which conditions."
        ),
        "guarantee": "The reason why the stated confidence holds, and for which agents.",
        "always-valid": (
            "The interval holds at every look at once, however often the run is looked at. It needs"
            " no model of the agents."
        ),
        "calibrated": (
            "A model predicts the tasks that were not run. The interval is as wide as replays of"
            " the known agents needed, so it holds for agents like those."
        ),
        "bootstrap": (
            "The tasks that ran are drawn again many times with replacement. The share of these"
            " draws that agree says how settled a rank is."
        ),
        "look": "A moment at which the stopping rule is asked, usually after each result.",
        "stopping rule": "What the run stops by: for instance, a rank interval that is narrow.",
        "claim": (
            "A statement that the stopping rule makes at its stop, or a race at its end, with its"
            " confidence. A run that ends for another reason makes no claim."
        ),
        "band": (
            "The tasks of middle difficulty, which some known agents solve and others do not. Tasks"
            " that all or none solve cannot tell agents apart."
        ),
        "plan": (
            "The file that says which tasks may run, in which order or by which choice, and when to"
            " stop. Its digest names its exact content."
        ),
        "strategy": "How the next task is chosen among those that remain.",
        "pass rate": "The mean score of the reference agents on a task, from 0 to 1.",
        "response model": (
            "A model of how likely an agent of some ability solves a task of some difficulty,"
            " fitted to the results of the reference agents."
        ),
        "infrastructure error": (
            "An attempt that ended for a reason outside the agent, such as a lost container. It is"
            " a missing result and not a failure of the agent."
        ),
        "missing result": (
            "An attempt that has no score. The bounds hold whether it would have failed or passed."
        ),
        "guard task": "A task that the plan always runs, so that a change of it is noticed.",
        "futility": "The remaining tasks can no longer change the verdict.",
        "drift alarm": (
            "A warning that the results are improbable for an agent like those of the history."
        ),
        "race": "A comparison of several candidates that stops paying for those that have lost.",
        "full price": "What a race would cost that ran every candidate on every task.",
        "indifference zone": "Candidates whose scores are so close need not be told apart.",
        "allocation": "How a race decides which candidate runs the next task.",
        "discrimination": (
            "How well a task tells strong agents from weak ones: the correlation of the scores on"
            " it with the scores on the other tasks. It is negative where weaker agents do better."
        ),
        "ceiling": (
            "The rank correlation that one full run of every agent reaches with other attempts of"
            " the same agents. No policy that sees one attempt a task can be expected to do better."
        ),
        "coverage": "The share of replays in which the stated interval held the true rank.",
        "replay": "A known agent is treated as if it were new, with its recorded results.",
    }
)


def _pattern(terms: Mapping[str, str]) -> re.Pattern[str]:
    longest_first = sorted(terms, key=lambda term: (-len(term), term))
    words = "|".join(re.escape(term) for term in longest_first)
    return re.compile(rf"(?<![\w-])({words})(s?)(?![\w-])", re.IGNORECASE)


PATTERN = _pattern(TERMS)
