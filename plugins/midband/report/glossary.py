"""The glossary: the terms that midband's pages use, each in one or two plain sentences."""

import re
from collections.abc import Mapping
from types import MappingProxyType

TERMS: Mapping[str, str] = MappingProxyType(
    {
        "agent": (
            "A model together with the program around it and its settings. Two agents are the"
            " same if all of these are the same."
        ),
        "allocation": "The rule by which a race decides which candidates run on.",
        "always-valid": (
            "The interval holds at every look at once, whoever the agent is and however often"
            " the run is looked at. It needs no model of the agents. It is about the planned"
            " tasks, which have to run in random order."
        ),
        "attempt": (
            "One try of an agent at one task. Several attempts at a task are averaged and count"
            " as one result."
        ),
        "band": (
            "The tasks of middle difficulty, which by default between 30 % and 70 % of the"
            " known agents pass. A rank in a band is a rank on these tasks only."
        ),
        "baseline": "The known agent that a gate compares the new agent with.",
        "bootstrap": (
            "The tasks that ran get random weights many times over. The share of these draws"
            " whose rank lies in the interval says how settled the rank is. midband stops at the"
            " share that replays of known agents required."
        ),
        "calibrated": (
            "A model predicts the tasks that were not run. The interval is as wide as replays"
            " of the known agents required, so it holds for agents like those. It is about the"
            " full benchmark."
        ),
        "candidate": "The new agent whose rank is asked for, or one of the agents in a race.",
        "ceiling": (
            "The rank correlation that one full run of every agent reaches with other "
            "attempts of the same agents. No policy that sees one attempt a task can be "
            "expected to do better."
        ),
        "claim": (
            "A statement that holds with a stated confidence, such as an interval of ranks. A"
            " run makes a claim only if its stopping rule was met."
        ),
        "confidence": (
            "The chance that a claim of this kind is right. The guarantee says under which"
            " conditions."
        ),
        "coverage": (
            "The share of replays in which the stated interval held the true rank. Confidence"
            " is promised, and coverage is counted."
        ),
        "digest": (
            "A short code that is computed from a content. Equal contents have equal digests,"
            " so a changed task or a changed plan is noticed."
        ),
        "discrimination": (
            "How well a task tells strong agents from weak ones: the correlation of the "
            "scores on it with the scores on the other tasks. It is negative where weaker "
            "agents do better."
        ),
        "drift alarm": (
            "A warning that the results are improbable for an agent like those of the history."
        ),
        "estimated full score": (
            "The score that the agent would have if all tasks had run, as the model predicts it"
            " from the results so far. It has bounds."
        ),
        "full benchmark": "All tasks of the benchmark, whether they ran or not.",
        "full price": ("What a race would cost that ran every candidate on every task."),
        "futility": (
            "The remaining tasks can no longer change the verdict. The stopping rule of this"
            " name ends the run then."
        ),
        "gate": (
            "A yes or no for CI: the new agent is not worse than a baseline by more than a"
            " margin. It can also be undecided."
        ),
        "guarantee": (
            "The reason why the stated confidence holds, and for which agents. It is"
            " always-valid, calibrated or bootstrap."
        ),
        "guard task": (
            "A task that runs first with every strategy, such as a smoke test that a release"
            " must not fail."
        ),
        "harness": (
            "The program that runs an agent on the tasks of a benchmark and scores it, such as"
            " Inspect AI or Harbor."
        ),
        "history": "The database of the results of past runs, task by task.",
        "indifference zone": (
            "A difference in points that does not matter to you. Candidates that are so close"
            " need not be told apart."
        ),
        "infrastructure error": (
            "An attempt that ended for a reason outside the agent, such as a lost container. It"
            " has no result, unless the harness itself counts it as a failure."
        ),
        "look": "A moment at which the stopping rule is checked, usually after each result.",
        "margin": (
            "By how many points the new agent may be worse than the baseline before the gate fails."
        ),
        "metric": (
            "What a score is a score of, with its scale and its direction. Results by different"
            " metrics are never mixed."
        ),
        "missing result": (
            "An attempt that has no usable score. The bounds of a verdict hold whether it would"
            " have failed or passed."
        ),
        "pass rate": "The mean score of the known agents on a task, from 0 to 1.",
        "plan": (
            "The file that says which tasks may run, in which order or by which choice, and"
            " when to stop."
        ),
        "planned tasks": (
            "The tasks that the plan may run. A rank on them says nothing about the other tasks"
            " of the benchmark."
        ),
        "race": "A comparison of several candidates that lets go of those that are clearly behind.",
        "rank interval": (
            "The best and the worst rank that the results leave possible at the stated"
            " confidence. Rank 1 is the best."
        ),
        "reference agent": (
            "An agent of the history that the candidate is ranked among. It is also called a"
            " known agent."
        ),
        "replay": (
            "A known agent is treated as if it were new, with its recorded results. Replays"
            " show what a plan would have saved, and how often its intervals would have held."
        ),
        "response model": (
            "A model of the chance that an agent of some ability passes a task of some"
            " difficulty. It is fitted to the results of the known agents."
        ),
        "round": (
            "Some tasks that a harness runs before midband reads the results and decides again."
        ),
        "scaffold": "The program around a model that makes it an agent.",
        "stopping rule": (
            "The condition that ends a run, such as a rank interval that is narrow enough, or a"
            " budget."
        ),
        "strategy": "The way in which the next task is chosen among those that remain.",
        "target": (
            "The set of tasks that a rank or a score is about. It is either the full benchmark"
            " or the planned tasks."
        ),
        "tie group": (
            "The known agents whose scores lie within the bounds of the candidate's score. The"
            " results do not separate the candidate from them."
        ),
    }
)


def _pattern(terms: Mapping[str, str]) -> re.Pattern[str]:
    longest_first = sorted(terms, key=lambda term: (-len(term), term))
    words = "|".join(re.escape(term) for term in longest_first)
    return re.compile(rf"(?<![\w-])({words})(s?)(?![\w-])", re.IGNORECASE)


PATTERN = _pattern(TERMS)
