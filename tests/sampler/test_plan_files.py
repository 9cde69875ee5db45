"""Plan files: whatever stands in one, it is a plan or one line."""

import base64
import copy
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import OutcomeMatrix
from midband_sampler import Plan, PlanError, Session, make_plan, parse_stop


def plans() -> list[dict[str, Any]]:
    generator = np.random.default_rng(4)
    chance = generator.random((14, 1)) * 0.6 + generator.random((1, 24)) * 0.4
    matrix = OutcomeMatrix.from_scores((generator.random((14, 24)) < chance).astype(float))
    stop = parse_stop("rank:0.8:0.3 or beats:agent-1:0.8 or tasks:20 or hopeless")
    made = [
        make_plan(matrix, strategy="information", stop=stop, explore=0.1, always=matrix.tasks[:2]),
        make_plan(matrix, strategy="band", stop=stop),
    ]
    return [json.loads(plan.to_json()) for plan in made]


PLANS = plans()


def packed(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(zlib.compress(values.astype("<f8").tobytes())).decode()


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**30, -(10**400), 0.5, float("nan"), float("inf"), -1e308, 1e308]),
    st.sampled_from(["", "x", "\ud800", "\x1b[31m", "nan", "random", "information", "cost"]),
    st.sampled_from([[], {}, [[]], [None], ["a", "a"], {"rule": "rank"}, {"rule": "any"}]),
    st.sampled_from(
        [packed(np.zeros(10**5)), packed(np.full(24, np.inf)), packed(np.full(24, -1.0)), "AAAA"]
    ),
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for name in value:
            found += places(value[name], (*path, name))
    elif isinstance(value, list):
        for place in range(min(len(value), 2)):
            found += places(value[place], (*path, place))
    return found


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_file_is_refused_in_one_line_or_is_a_plan(data: st.DataObject) -> None:
    plain = copy.deepcopy(data.draw(st.sampled_from(PLANS)))
    *path, last = data.draw(st.sampled_from(places(plain)))
    inner: Any = plain
    for step in path:
        inner = inner[step]
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            inner[last] = data.draw(ODD)
        case "remove":
            del inner[last]
        case "add":
            if isinstance(inner, dict):
                inner["more"] = data.draw(ODD)
            else:
                inner.append(data.draw(ODD))
    if data.draw(st.booleans()):
        body = {name: value for name, value in plain.items() if name != "digest"}
        text = json.dumps(body, ensure_ascii=False, indent=1)
        plain["digest"] = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
    refusal = ""
    try:
        plan = Plan.from_json(json.dumps(plain))
    except PlanError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 1000
    if refusal:
        return
    session = Session(plan, resamples=200)
    for task in session.ask(3):
        session.tell(task, score=1.0)
    assert Plan.from_json(plan.to_json()) == plan
    assert str(session.decision())


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_refused(opening: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(opening * 20_000)
    with pytest.raises(PlanError, match="expected a plan") as caught:
        Plan.read(path)
    assert "\n" not in str(caught.value)
    rule = '{"rule":"hopeless","tasks":null,"of":' * 20_000
    text = json.dumps(PLANS[0]).replace('"stop":', f'"stop":{rule}', 1)
    with pytest.raises(PlanError, match="expected a plan"):
        Plan.from_json(text)


@pytest.mark.parametrize("name", ["reference_scores", "expected_cost_usd"])
def test_an_array_is_unpacked_no_further_than_its_shape(name: str) -> None:
    import tracemalloc

    bomb = zlib.compressobj(9)
    parts = [bomb.compress(bytes(1 << 20)) for _ in range(256)]
    content = {**PLANS[1], name: base64.b64encode(b"".join([*parts, bomb.flush()])).decode()}
    text = json.dumps(content)
    tracemalloc.start()
    with pytest.raises(PlanError, match=name):
        Plan.from_json(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24


def test_a_binary_file_is_no_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for content in (b"\xff\xfe\x00", b"", b"null", b"[]", b'"plan"', b"1" * 5000):
        path.write_bytes(content)
        with pytest.raises(PlanError, match="expected a plan") as caught:
            Plan.read(path)
        assert "\n" not in str(caught.value)
