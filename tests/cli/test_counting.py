"""``claw stats``."""

from __future__ import annotations

from claw_actors.cli.counting import _size


def test_workflows_are_counted_by_status(claw, claw_json, tmp_path):
    """All of them, with the oldest of those that have not ended; and what the files take."""
    [counted] = claw_json("stats")
    listed = claw_json("list")
    assert sum(counted["workflows"].values()) == len(listed)
    for status, count in counted["workflows"].items():
        assert count == sum(state["status"] == status for state in listed)
    assert set(counted["oldest"]) == {"waiting", "paused", "quarantined"}
    assert counted["bytes"] > 10_000
    assert counted["next_due"] is None
    assert _size(tmp_path / "a log that was moved into the database") == 0
    text = claw("stats").stdout
    assert "quarantined  1" in text
    assert f"in all  {len(listed)}" in text
