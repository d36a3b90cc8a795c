"""``agent_approval.py`` does what was approved, once, and what it checks can be broken."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import attrs
import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(autouse=True)
def path_of_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples import what lies beside them, as they do when they are run."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture
def agent() -> ModuleType:
    return importlib.import_module("agent_approval")


@pytest.fixture
def trial() -> ModuleType:
    return importlib.import_module("_agent_trial")


def claims(checks) -> list[str]:
    """Return what does not hold."""
    return [check.claim for check in checks if not check.holds]


# -- a whole run ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_answer_that_comes_while_the_agent_is_dead_is_carried_out_once(tmp_path):
    """What was approved is gone, what was rejected stays, and silence means no."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / "agent_approval.py"), "--seed", "3"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    story, held = lines[: lines.index("")], lines[lines.index("") + 1 :]
    proposed = [line for line in story if line.startswith("  ")]
    approved = [line for line in proposed if line.startswith("  delete")]
    assert story[-2:] == [
        f"tidy-downloads: approved by ada: {len(approved)} of {len(proposed)}",
        "tidy-photos: approved by nobody: 0 of 9",
    ]
    assert [line.split()[0] for line in held] == ["ok"] * 7


@pytest.mark.slow
def test_a_forged_call_in_the_log_of_a_whole_run_is_found_out(agent, monkeypatch, capsys):
    """Negative control: a deletion is in the log too early, and the status is 1."""
    look = agent.look

    def forge(directory: Path):
        sight = look(directory)
        with (directory / "tools.log").open("a") as log:
            log.write("delete photos/letters/trace-0.log\n")
        return sight

    monkeypatch.setattr(agent, "look", forge)
    assert agent.main(["--seed", "2"]) == 1
    broken = [
        line[7:56].strip() for line in capsys.readouterr().out.splitlines() if "BROKEN" in line
    ]
    assert broken == [
        "nothing was deleted before the answer",
        "only what was approved was tried",
        "each call of a tool happened once",
    ]


# -- the checks are able to fail ----------------------------------------------------------------------

TREE = {"a": "1", "b": "2", "c": "3"}


@pytest.fixture
def honest(trial) -> dict[str, object]:
    """What is judged, when ``a`` was approved and ``b`` rejected, and all went well."""
    before = trial.Sight(TREE, TREE, ())
    killed = attrs.evolve(before, log=("list downloads/", "list photos/"))
    after = trial.Sight({"b": "2", "c": "3"}, TREE, (*killed.log, "delete downloads/a"))
    return {
        "before": before,
        "killed": killed,
        "after": after,
        "approved": ["a"],
        "rejected": ["b"],
    }


def test_an_honest_sight_passes(trial, honest):
    """``a`` has gone, after the answer; nothing else has changed."""
    assert claims(trial.judge(**honest)) == []


EARLY = "nothing was deleted before the answer"
GONE = "what was approved is gone"
KEPT = "what was rejected is there"
REST = "all the rest is as it was"
SILENCE = "where nobody answered, nothing was deleted"
TRIED = "only what was approved was tried"
ONCE = "each call of a tool happened once"
CALLS = ("list downloads/", "list photos/", "delete downloads/a")


@pytest.mark.parametrize(
    ("when", "changes", "broken"),
    [
        pytest.param(
            "killed", {"downloads": {"b": "2", "c": "3"}}, [EARLY], id="deleted before the answer"
        ),
        pytest.param(
            "killed", {"log": ("delete downloads/a",)}, [EARLY], id="tried before the answer"
        ),
        pytest.param("after", {"downloads": TREE}, [GONE, REST], id="approved and not deleted"),
        pytest.param("after", {"downloads": {"c": "3"}}, [KEPT, REST], id="rejected and deleted"),
        pytest.param(
            "after", {"downloads": {"b": "9", "c": "3"}}, [KEPT, REST], id="rejected and changed"
        ),
        pytest.param("after", {"downloads": {"b": "2"}}, [REST], id="deleted without being asked"),
        pytest.param("after", {"photos": {"b": "2", "c": "3"}}, [SILENCE], id="silence meant yes"),
        pytest.param(
            "after", {"log": (*CALLS, "delete downloads/b")}, [TRIED], id="the rejected was tried"
        ),
        pytest.param("after", {"log": CALLS[:2]}, [TRIED], id="deleted by somebody else"),
        pytest.param(
            "after", {"log": (*CALLS, "delete downloads/a")}, [ONCE], id="a tool ran twice"
        ),
        pytest.param("after", {"log": (*CALLS, CALLS[0])}, [ONCE], id="a replay called a tool"),
    ],
)
def test_a_forged_sight_is_found_out(trial, honest, when, changes, broken):
    """Negative controls: each claim is broken, and said to be."""
    honest[when] = attrs.evolve(honest[when], **changes)
    assert claims(trial.judge(**honest)) == broken


def test_an_answer_that_decides_nothing_proves_nothing(trial, honest):
    """Negative control: with nothing approved, or nothing rejected, the run has shown too little."""
    assert claims(trial.judge(**{**honest, "rejected": []})) == [KEPT]
    honest["after"] = attrs.evolve(honest["after"], downloads=TREE, log=CALLS[:2])
    assert claims(trial.judge(**{**honest, "approved": []})) == [GONE]


def test_the_rules_propose_old_logs_and_true_copies(agent, trial, tmp_path):
    """Of two files of one length, only those of one content are called the same."""
    for seed in range(20):
        root = tmp_path / str(seed) / "downloads"
        trial.make_tree(root, seed)
        hashes = trial.see(root)
        notes = agent.Notes()
        while not isinstance(step := notes.next_step(), agent.Propose):
            match step:
                case agent.Look(folder):
                    found = agent.list_folder(str(root), folder)
                    notes.files += found.files
                    notes.unseen += found.folders
                case agent.Compare(path):
                    notes.prints[path] = hashes[path]
        reasons = {one.path: one.why for one in step.deletions}
        logs = {path for path in reasons if path.endswith(".log")}
        assert logs == {str(p.relative_to(root)) for p in root.rglob("trace-[02].log")}
        assert all(
            why == f"the same as {path.replace('copy-of-', '')}"
            for path, why in reasons.items()
            if path not in logs
        )
        assert len(reasons) == 9
        assert "programs/other.pdf" in notes.prints
        dear = [agent.is_dear(one) for one in step.deletions]
        assert 0 < sum(dear) < len(dear)
