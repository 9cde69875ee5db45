"""``midband inspect eval TASK --race RACE``: what is checked before, and the exit code after."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history import InputError

if TYPE_CHECKING:
    from midband_sampler.racing import RacePlan

# Names the file to which a race writes its verdict, for the command that started it.
VERDICT_FILE = "MIDBAND_RACE_VERDICT"


def new_race_id() -> str:
    """Return a name for a race: when it began, in hexadecimal seconds, and a random part."""
    return f"{int(time.time()):x}-{secrets.token_hex(4)}"


def race_arguments(
    race: str, models: str, values: Mapping[str, str], *, again: bool
) -> tuple[dict[str, str], list[str]]:
    """Return the arguments of the task ``midband/race``, and the models that run.

    Parameters
    ----------
    race : str
        Path of a planned race, or a question.
    models : str
        As on Inspect's command line; empty for all candidates of a planned race.
    values : mapping of str to str
        The options of ours that are given, as arguments of the task.
    again : bool
        Whether the same command is to go on with what it began.

    Raises
    ------
    InputError, PlanError
        The race, the question or the models cannot be used.
    """
    from midband.inspect.race_task import read_race

    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names and not Path(race).is_file() and not race.endswith(".json"):
        msg = f"expected --model A,B,... beside the question {race!r}, got none: name who competes"
        raise InputError(msg)
    plan = read_race(
        race,
        models=names,
        budget=values.get("race_budget", ""),
        allocation=values.get("race_allocation", ""),
    )
    race_id = f"0-{plan.digest}" if again else new_race_id()
    if not Path(race).is_file():
        return {"race": race, "race_models": ",".join(names), "race_id": race_id}, names
    arguments = {"race": str(Path(race).absolute()), "race_digest": plan.digest, "race_id": race_id}
    return arguments, _models_of(plan, names)


def _models_of(plan: "RacePlan", names: Sequence[str]) -> list[str]:
    """Return the models of a planned race, after a check that just these are named."""
    from midband.inspect.racing import still_to_run

    wanted = still_to_run(plan)
    if not names:
        return [_model_of(plan, name) for name in wanted]
    found = [candidate_of(plan, name) for name in names]
    got = ", ".join(names)
    if None in found or len(set(found)) < len(found) or not set(wanted) <= set(found):
        msg = (
            f"expected the models of the race's candidates ({', '.join(plan.candidates)}), each"
            f" once, got {got}: leave --model out, or plan the race anew"
        )
        raise InputError(msg)
    return list(names)


def _model_of(plan: "RacePlan", candidate: str) -> str:
    """Return the model that runs a candidate: what its arguments name, else its name."""
    words = list(plan.arguments.get(candidate, ()))
    for place, word in enumerate(words):
        if word.startswith("--model="):
            return word.partition("=")[2]
        if word == "--model" and place + 1 < len(words):
            return words[place + 1]
    return candidate


def candidate_of(plan: "RacePlan", model: str) -> str | None:
    """Return the candidate that a model runs as; None if it is none of the race."""
    if model in plan.candidates:
        return model
    return next((name for name in plan.candidates if _model_of(plan, name) == model), None)


def needs_verdict(arguments: Sequence[str]) -> bool:
    """Whether the exit code of a command says what came of its race: of a not-worse question."""
    from midband.inspect.race_task import read_race
    from midband_sampler.racing import NotWorse

    if arguments[1:2] != ["midband/race"]:
        return False
    # Other words may look like ours: the directory of the logs may be named race.
    given = dict(word.partition("=")[::2] for option, word in pairwise(arguments) if option == "-T")
    race, models = (_unquoted(given.get(name, "")) for name in ("race", "race_models"))
    budget = _unquoted(given.get("race_budget", ""))
    return isinstance(read_race(race, models=models.split(","), budget=budget).question, NotWorse)


def _unquoted(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value


def run_for_verdict(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run Inspect, and return the exit code of the verdict, or Inspect's own if that is not 0.

    Returns
    -------
    int
        0 held, 1 without a verdict, 3 undecided, 4 did not hold.
    """
    variables = os.environ if environment is None else environment
    with tempfile.TemporaryDirectory(prefix="midband-") as directory:
        place = Path(directory, "verdict.json")
        with subprocess.Popen(command, env={**variables, VERDICT_FILE: str(place)}) as process:
            while True:
                try:
                    code = process.wait()
                    break
                except KeyboardInterrupt:  # the terminal has told Inspect too, which ends by itself
                    continue
        if code:
            return code
        if not place.is_file():
            print("midband: the race has no verdict: its logs say why", file=sys.stderr)
            return 1
        return int(json.loads(place.read_text(encoding="utf-8"))["exit_code"])


def hand_back(report: Mapping[str, object]) -> None:
    """Write what came of a race for the command that started this process, if one did.

    Parameters
    ----------
    report : mapping
        With ``exit_code``, unless there is no verdict.
    """
    place = os.environ.get(VERDICT_FILE)
    if place and "exit_code" in report:
        Path(place).write_text(json.dumps(report), encoding="utf-8")
    elif place:
        Path(place).unlink(missing_ok=True)
