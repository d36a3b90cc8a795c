"""Workflows live longer than the processes that run them: stopped, or killed at any moment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from .app import STEPS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_submitted_goes_on_after_a_stop_and_a_start(site, number):
    """It waits for an answer; another process of the same program gets it, and no step is repeated."""
    first = site.run("approve:2")
    site.until(lambda: site.ledger().total() == 2, "waiting", first)
    said = site.stop(first, number)
    assert said.splitlines()[-1] == "claw: claw.db is closed"
    assert "Traceback" not in said

    second = site.run()
    told = "running claw.db\nrecovered 2: "
    site.until(lambda: second.out.read_text().startswith(told), "recovered", second)
    site.claw("send", "approve-00000", "answer", "true")
    site.claw("watch", "approve-00000", "--timeout", "60")
    site.stop(second)
    assert site.statuses() == {"completed": 1, "running": 1}
    assert site.ledger() == {"approve-00000 0": 1, "approve-00000 1": 1, "approve-00001 0": 1}
    assert site.records("show", "approve-00000")[0]["result"] is True


def test_who_is_told_twice_to_stop_says_what_it_has_cut_off(site):
    """Both the printed lines and the log, as JSON; and the next start takes it up again."""

    def counted():
        return site.records("stats")[0]["owner"]["runtime"]

    first = site.run("stubborn:2 approve:1", options=("--log-json",))
    site.until(lambda: counted()["running_tasks"] == 2 and counted()["idle"] == 1, "busy", first)
    first.signal(signal.SIGTERM)
    site.until(lambda: "once more to stop at once" in first.err.read_text(), "stopping", first)
    site.stop(first)
    stopped, *told = first.out.read_text().splitlines()[-4:]
    assert re.fullmatch(r"stopped after \d\.\d s", stopped)
    ids = ["stubborn-00000", "stubborn-00001"]
    assert sorted(told[0].removeprefix("interrupted 2: ").split(", ")) == ids
    assert told[1] == "waiting 1: approve-00000"
    assert sorted(told[2].removeprefix("cut off 2: ").split(", ")) == [f"{id} hang" for id in ids]
    records = [json.loads(line) for line in first.err.read_text().splitlines()]
    cut = [one for one in records if "was cut off" in one["message"]]
    assert sorted(one["workflow"] for one in cut) == ids
    assert {(one["level"], one["task"], one["attempt"]) for one in cut} == {("WARNING", "hang", 1)}

    second = site.run()
    site.until(lambda: site.ledger()["stubborn-00000 begun"] == 2, "again", second)
    assert site.ledger()["approve-00000 0"] == 1
    second.signal(signal.SIGTERM)
    site.stop(second)


def test_what_runs_goes_on_after_each_kill_and_repeats_no_recorded_step(site):
    """Killed three times on the way: a step that was recorded by then is never taken again."""
    ids = [f"walk-{number:05}" for number in range(3)]
    taken: dict[str, int] = {}
    site.environment["STEP_S"] = "0.05"  # or a busy machine sees none of them before its end
    owner = site.run("walk:3")
    for part in (0.2, 0.5, 0.8):
        enough = part * STEPS * len(ids)
        site.until(lambda enough=enough: site.ledger().total() >= enough, "on the way", owner)
        assert owner.kill() == -signal.SIGKILL
        ledger = site.ledger()
        for id in ids:
            for one in site.records("tasks", id):
                if one["status"] == "completed":
                    step = f"{id} {one['result']}"
                    taken.setdefault(step, ledger[step])
        owner = site.run()
        site.until(lambda owner=owner: "d 3: " in owner.out.read_text(), "recovered", owner)
    for id in ids:
        site.claw("watch", id, "--timeout", "60")
        assert site.records("show", id)[0]["result"] == sum(range(STEPS))
    site.stop(owner)
    ledger = site.ledger()
    assert len(taken) > 0.7 * STEPS * len(ids)
    assert {step: ledger[step] for step in taken} == taken
    # What a kill has cut off between the deed and its record is done again, once for each kill.
    assert set(ledger) == {f"{id} {number}" for id in ids for number in range(STEPS)}
    assert ledger.total() <= (STEPS + 3) * len(ids)


def test_what_is_reported_before_a_start_is_what_it_then_does(site):
    """After each kill, until the one that is always there is known as poison and left alone."""

    def is_begun(times: int) -> bool:
        # The other one may have been killed between its step and the record of that: then twice.
        ledger = site.ledger()
        return ledger["stubborn-00000 begun"] == times and ledger["approve-00000 0"] > 0

    owner = site.run("stubborn:1 approve:1")
    for kills in range(1, 4):
        site.until(lambda kills=kills: is_begun(kills), "in its task", owner)
        assert owner.kill() == -signal.SIGKILL
        verdicts = foreseen(site)
        assert verdicts["stubborn-00000"] == ("together" if kills == 1 else "alone")
        # Whoever comes back alone shows no sign of life here: the owner opens no further.
        owner = site.spawn("run", "app:workflows", "--json")
    site.until(lambda: is_begun(4), "in its task", owner)
    owner.kill()
    verdicts = foreseen(site, code=1)
    owner = site.spawn("run", "app:workflows", "--json")
    site.until(lambda: owner.out.read_text().endswith("\n"), "running", owner)
    done = json.loads(owner.out.read_text())["recovery"]
    site.stop(owner)
    assert verdicts.pop("stubborn-00000") == "quarantine"
    # How far the other one had got at each kill is chance.
    assert verdicts in ({"approve-00000": "together"}, {"approve-00000": "alone"})
    assert (done["recovered"], done["quarantined"]) == (["approve-00000"], ["stubborn-00000"])


def foreseen(site, code: int = 0) -> dict[str, str]:
    """Ask what the next start would do with each."""
    process = site.spawn("recover-report", "app:workflows", "--json")
    assert process.wait() == code, process.err.read_text()
    summary, *lines = map(json.loads, process.out.read_text().splitlines())
    assert (summary["owner"], summary["clean"]) == (None, False)
    return {line["id"]: line["verdict"] for line in lines}


@pytest.mark.parametrize(
    "count", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.alone])]
)
def test_many_workflows_are_all_there_after_a_restart_and_all_end(site, count):
    """Page after page lists each of them once, whoever owns the database, or nobody."""
    ids = {f"approve-{number:05}" for number in range(count)}
    owner = site.run(f"approve:{count}")
    listed = Counter(str(one["id"]) for one in site.all(limit=min(1_000, count // 3)))
    assert listed == Counter(ids)
    site.until(lambda: site.ledger().total() == count, "waiting", owner)
    site.stop(owner)
    statuses = site.statuses()
    assert statuses["running"] + statuses["waiting"] == count  # of many, some leave memory early
    listed = Counter(str(one["id"]) for one in site.all(limit=min(1_000, count // 3)))
    assert listed == Counter(ids)

    owner = site.run(serve="answer_all")
    site.until(lambda: site.ledger().total() == 2 * count, "at their last step", owner)
    site.until(lambda: site.statuses() == {"completed": count}, "completed", owner)
    site.stop(owner)
    assert site.ledger() == Counter(f"{id} {number}" for id in ids for number in (0, 1))


def test_a_second_signal_skips_what_is_left_of_the_grace(site):
    """A task that hangs would have an hour; it is cut off, and begun again at the next start."""
    owner = site.run("stubborn:1", CLAW_RUNTIME_GRACE="3600")
    site.until(lambda: site.ledger() == {"stubborn-00000 begun": 1}, "in its task", owner)
    owner.signal(signal.SIGTERM)
    site.until(lambda: "claw.db.sock" not in site.files(), "closing", owner)
    assert owner.is_alive()
    site.stop(owner)
    owner = site.run()
    site.until(lambda: site.ledger() == {"stubborn-00000 begun": 2}, "in its task again", owner)
    site.claw("terminate", "stubborn-00000")
    site.stop(owner)
    assert site.statuses() == {"cancelled": 1}


def test_what_is_printed_to_somebody_who_has_left_is_no_traceback(site):
    """As in ``claw list | head -1``: it ends as a tool does that the pipe has ended."""
    site.stop(site.run("approve:1"))
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [sys.executable, "-m", "claw_actors", "list"],
        cwd=site.directory,
        env=site.environment | {"PYTHONPATH": str(ROOT)},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (141, "")
