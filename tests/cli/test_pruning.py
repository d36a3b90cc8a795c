"""``claw prune``."""

from __future__ import annotations

import pytest


def test_what_has_ended_is_pruned(claw, claw_json):
    """What has not stays, and the id of what is gone is explained."""
    before = {state["id"] for state in claw_json("list")}
    ended = {state["id"] for state in claw_json("list") if state["completed_at"] is not None}
    dry = claw("prune", "--older-than", "0s", "--dry-run").stdout.splitlines()
    assert set(dry[:-1]) == ended
    assert dry[-1] == f"{len(ended)} workflows would be pruned, with their children"
    assert {state["id"] for state in claw_json("list")} == before
    *lines, last = claw_json("prune", "--older-than", "0s")
    assert {line["id"] for line in lines} == ended
    assert (last["pruned"], last["dry_run"]) == (len(ended), False)
    assert {state["id"] for state in claw_json("list")} == before - ended
    assert "its history was pruned" in claw("show", "done", code=3).stderr
    assert claw("prune", "--keep", "0").stdout == "0 workflows pruned, 0 bytes freed\n"


def test_status_and_name_narrow_it(claw, claw_json):
    """All that is said must hold."""
    assert (
        claw_json("prune", "--keep", "0", "--status", "failed", "--name", "nobody")[-1]["pruned"]
        == 0
    )
    lines = claw_json("prune", "--keep", "0", "--status", "failed", "--dry-run")
    assert [line["id"] for line in lines[:-1]] == ["failed"]
    assert claw("prune", "--keep", "0", "--status", "failed").stdout.startswith("1 workflow pruned")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "without, everything would go"),
        (("--older-than", "30"), "no length of time"),
        (("--keep", "-1"), "-1"),
    ],
)
def test_a_wrong_call_ends_with_2(claw, arguments, says):
    """And prunes nothing."""
    assert says in claw("prune", *arguments, code=2).stderr
