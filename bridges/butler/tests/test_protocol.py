"""Lines in, lines out; and the bridge as a process of its own, killed wherever it happens to be."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Stage

from orrery_butler.catalog import CatalogAway, Deadline
from orrery_butler.protocol import Answer, Item, NotARequest, Outcome, answer_line, fatal_line, read_request, retry
from orrery_butler.serve import serve

ITEM = {"key": "k", "uri": "file:///a", "kind": "raw", "header": {"A": 1}}


def line(**changed: Any) -> str:
    return json.dumps({"batch": "b1", "deadline_ms": 60_000, "items": [ITEM], **changed})


def test_reads_a_request_and_leaves_new_fields_alone() -> None:
    request = read_request(line(items=[{**ITEM, "etag": "0", "size": None, "identity": None}], more=1))
    assert (request.batch, request.deadline_ms) == ("b1", 60_000)
    assert request.items == [Item("k", "file:///a", "raw", {"A": 1})]
    assert read_request('{"batch":"b","items":[{"key":"k","uri":"u"}]}').items == [Item("k", "u", "raw", None)]


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "[]",
        "{}",
        line(items=[{}]),
        line(items=[{**ITEM, "kind": "no"}]),
        line(items=[{**ITEM, "header": []}]),
        line(items=[ITEM, ITEM]),
        line(deadline_ms="soon"),
    ],
)
def test_refuses_what_is_no_request(bad: str) -> None:
    with pytest.raises(NotARequest):
        read_request(bad)


def test_answers_in_ascii_one_line_an_answer() -> None:
    said = answer_line("b1", {"k\u2028": Answer(retry("missing_file", "\u65e5\u672c\n" * 5_000), True, "defined")})
    assert said.isascii()
    assert said.count("\n") == 1
    (entry,) = json.loads(said)["items"]
    assert entry == {
        "key": "k\u2028",
        "status": "retry",
        "class": "missing_file",
        "detail": ("\u65e5\u672c\n" * 5_000)[:2_000],
        "exposure_new": True,
        "visit": "defined",
    }
    assert json.loads(answer_line("b", {"k": Answer(Outcome("ingested"))}))["items"] == [{"key": "k", "status": "ingested"}]
    assert json.loads(fatal_line(None, "repo_unavailable", "away")) == {"fatal": "repo_unavailable", "detail": "away"}


class Made:
    """A catalog that does what its items say."""

    def about(self) -> Mapping[str, object]:
        return {"universe": 8}

    def ingest(self, items: Sequence[Item], deadline: Deadline) -> Mapping[str, Answer]:
        if any(item.uri == "away" for item in items):
            raise CatalogAway("repo_unavailable", "gone")
        return {item.key: Answer(Outcome("ingested")) for item in reversed(items)}


def served(*lines: str) -> tuple[int, list[dict[str, Any]]]:
    answers = io.StringIO()
    code = serve(Made, {"butler": "30"}, lines, answers)
    return code, [json.loads(said) for said in answers.getvalue().splitlines()]


def test_serves_until_stdin_ends() -> None:
    code, said = served(line(), line(batch="b2", items=[]))
    assert code == 0
    assert said[0].pop("pid") == os.getpid()
    assert said == [
        {"ready": True, "butler": "30", "universe": 8},
        {"batch": "b1", "items": [{"key": "k", "status": "ingested"}]},
        {"batch": "b2", "items": []},
    ]


def test_a_fatal_line_is_the_last() -> None:
    code, said = served(line(items=[{**ITEM, "uri": "away"}]), line())
    assert code == 1
    assert said[1:] == [{"batch": "b1", "fatal": "repo_unavailable", "detail": "gone"}]


class Bridge:
    """The real thing, as Orrery starts it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orrery_butler", "serve", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src"), "LC_ALL": "C"},
        )

    def said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line == "":
            raise AssertionError(f"the bridge ended: {self.process.communicate(timeout=20)[1]}")
        said: dict[str, Any] = json.loads(line)
        return said

    def tell(self, batch: str, items: Sequence[Item], deadline_ms: float = 60_000) -> None:
        assert self.process.stdin is not None
        entries = [{"key": i.key, "uri": i.uri, "kind": i.kind, "header": i.header} for i in items]
        request = json.dumps({"batch": batch, "deadline_ms": deadline_ms, "items": entries})
        self.process.stdin.write(f"{request}\n")
        self.process.stdin.flush()

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(how)
        _, complaints = self.process.communicate(timeout=20)
        return self.process.returncode, complaints


def test_a_repository_that_is_not_there_is_fatal(tmp_path: Path) -> None:
    bridge = Bridge(str(tmp_path / "nowhere"))
    assert bridge.said()["fatal"] == "repo_unavailable"
    bridge.process.communicate(timeout=20)
    assert bridge.process.returncode == 1


def test_without_formatters_a_batch_is_fatal_and_says_what_to_do(stage: Stage) -> None:
    bridge = Bridge(stage.repo)
    assert bridge.said()["ready"] is True
    bridge.tell("b1", [stage.item(1)])
    said = bridge.said()
    assert said["fatal"] == "formatter_missing"
    assert "--stub-formatters" in said["detail"]
    bridge.process.communicate(timeout=20)
    assert stage.records("exposure") == []


@pytest.mark.slow
def test_killed_anywhere_nothing_is_partial_and_nothing_is_lost(stage: Stage) -> None:
    """Kill -9 at some moment of a batch, and give the next bridge the same batch. What must hold, holds at every moment."""
    draw = random.Random(17)
    slots = [f"R{raft}_S{s}{t}" for raft in ("10", "11", "22", "33") for s in range(3) for t in range(3)]
    items = [stage.item(seq, slot) for seq in range(1, 5) for slot in slots]
    for _ in range(4):
        bridge = Bridge(stage.repo, "--stub-formatters")
        assert bridge.said()["ready"] is True
        bridge.tell("b1", items)
        time.sleep(draw.uniform(0.0, 0.25))
        bridge.end(signal.SIGKILL)
        stored = stage.stored()
        # One transaction: all of the batch or nothing of it, and no file without its exposure and visit.
        assert len(stored) in (0, len(items))
        exposures = {record["id"] for record in stage.records("exposure")}
        assert {exposure for exposure, _ in stored} <= exposures
        if stored:
            assert len(stage.records("visit")) == 4
    bridge = Bridge(stage.repo, "--stub-formatters")
    assert bridge.said()["ready"] is True
    bridge.tell("b2", items)
    statuses = {entry["status"] for entry in bridge.said()["items"]}
    assert statuses <= {"ingested", "duplicate"}
    assert bridge.end()[0] == -signal.SIGTERM
    assert len(stage.stored()) == len(items)
    assert len(stage.records("visit")) == 4


def test_prints_of_libraries_do_not_reach_the_answers(stage: Stage) -> None:
    script = (
        "import os, runpy, sys\n"
        "from lsst.daf.butler import Butler\n"
        "was = Butler.from_config\n"
        "def loud(*given, **more):\n"
        "    print('noise'); os.system('echo noise of a child'); return was(*given, **more)\n"
        "Butler.from_config = staticmethod(loud)\n"
        f"sys.argv = ['x', 'serve', {stage.repo!r}]\n"
        "runpy.run_module('orrery_butler', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")},
        timeout=60,
        check=False,
    )
    assert "noise of a child" in done.stderr
    assert [json.loads(said)["ready"] for said in done.stdout.splitlines()] == [True]
