"""Commands that look: list, show, tasks, value, watch."""

from __future__ import annotations

import json
import time

import pytest

from claw_actors import open_client


def ids(records):
    return [record["id"] for record in records]


# -- list -------------------------------------------------------------------------------------------


def test_list_shows_a_table_of_all_newest_first(claw):
    """Ids stand in the first column, whole."""
    lines = claw("list").stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATUS", "CREATED", "REASON"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["paused", "approve", "paused"],
        ["waiting", "approve", "waiting"],
        ["poisoned", "poison", "quarantined"],
        ["failed", "hoist", "failed"],
        ["done", "ship", "completed"],
    ]
    assert lines[1].endswith("the printer is on fire")


def test_list_prints_whole_records_for_programs(claw_json):
    """One JSON object a line, with the fields of `WorkflowState`."""
    done = claw_json("list")[-1]
    assert (done["id"], done["status"], done["metadata"]) == ("done", "completed", {"tenant": "a"})
    assert done["created_at"] <= done["completed_at"] <= time.time()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--status", "failed"], ["failed"]),
        (["--status", "failed", "--status", "completed"], ["failed", "done"]),
        (["--name", "approve"], ["paused", "waiting"]),
        (["--name", "ship", "--name", "poison"], ["poisoned", "done"]),
        (["--prefix", "p"], ["paused", "poisoned"]),
        (["--metadata", "tenant=a"], ["waiting", "done"]),
        (["--metadata", "tenant=a", "--metadata", "to=b"], ["waiting"]),
        (["--parent", "nobody"], []),
        (["--limit", "1"], ["paused"]),
        (["--limit", "1", "--offset", "2"], ["poisoned"]),
    ],
)
def test_list_finds_what_all_filters_let_through(claw_json, options, found):
    """Each is one of `WorkflowFilter`."""
    assert ids(claw_json("list", *options)) == found


def test_list_tells_people_how_to_go_on(claw, claw_json):
    """On stderr, where no program takes it for a record."""
    first = claw("list", "--limit", "3", "--total", "--json")
    total, more = first.stderr.splitlines()
    assert total == "5 in all"
    assert more.startswith("there are more: --after ")
    rest = claw_json("list", "--after", more.rsplit(maxsplit=1)[1])
    assert ids(map(json.loads, first.stdout.splitlines())) + ids(rest) == [
        *("paused", "waiting", "poisoned", "failed", "done")
    ]


def test_list_of_nothing_prints_nothing(claw):
    """That is no failure."""
    assert claw("list", "--status", "running").output == ""


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--status", "happy"], "'happy' is not one of"),
        (["--metadata", "tenant"], "'tenant' is not KEY=VALUE"),
        (["--metadata", "=a"], "'=a' is not KEY=VALUE"),
        (["--limit", "0"], "limit 0: a whole number from 1 to 1000"),
    ],
)
def test_list_refuses_what_is_no_filter(claw, options, why):
    """With the code of a wrong call."""
    assert why in claw("list", *options, code=2).stderr


# -- show -------------------------------------------------------------------------------------------


def test_show_tells_how_a_workflow_stands(claw):
    """Names and values, without what there is not."""
    shown = dict(line.split("  ", 1) for line in claw("show", "done").stdout.splitlines())
    assert shown["workflow"].strip() == "ship@1"
    assert shown["metadata"].strip() == '{"tenant": "a"}'
    assert shown["input"].strip() == '{"item": "anvil"}'
    assert shown["result"].strip() == '{"grams": 5}'
    assert shown["created"].strip().endswith("Z")
    assert not shown.keys() & {"reason", "error", "parent", "due", "recoveries"}


def test_show_tells_what_it_failed_with_and_nothing_that_a_terminal_obeys(claw):
    """A stored text is data: its line breaks and escapes are shown, not done."""
    text = claw("show", "failed").stdout
    assert "anvil is\\ntoo heavy\\x1b[31m" in text
    assert "\x1b" not in text
    assert "result" not in text


def test_show_gives_programs_everything(claw_json):
    """The error with its types and its traceback, too."""
    (state,) = claw_json("show", "failed")
    assert state["error"]["types"][0] == "claw_actors.errors.TaskFailedError"
    assert "too heavy\x1b[31m" in state["error"]["message"]
    assert state["description"] == "too much"


@pytest.mark.parametrize("command", ["show", "tasks", "value", "watch"])
def test_what_is_not_there_is_not_found(claw, command):
    """One line, and its own code."""
    done = claw(command, "nobody", code=3)
    assert (done.stdout, done.stderr) == ("", "claw: no workflow has the id 'nobody'\n")


# -- tasks ------------------------------------------------------------------------------------------


def test_tasks_are_listed_with_how_they_ended(claw, claw_json):
    """And with what they failed with."""
    lines = claw("tasks", "failed").stdout.splitlines()
    assert lines[0].split() == ["TASK", "STATUS", "ATTEMPTS", "STARTED", "ENDED", "ERROR"]
    assert lines[1].split()[:3] == ["lift", "failed", "1"]
    assert lines[1].endswith("ValueError: anvil is\\ntoo heavy\\x1b[31m")
    (task,) = claw_json("tasks", "done")
    assert (task["id"], task["status"], task["result"]) == ("weigh", "completed", 5)


def test_no_tasks_print_nothing(claw):
    """A workflow need not have any."""
    assert claw("tasks", "poisoned").output == ""


# -- value ------------------------------------------------------------------------------------------


def test_values_are_printed_all_or_one(claw, claw_json):
    """One alone is bare JSON, for a script."""
    assert claw("value", "done").stdout == 'grams  5\nstage  "weighing"\n'
    assert claw("value", "done", "stage").stdout == '"weighing"\n'
    assert claw_json("value", "done", "grams") == [{"key": "grams", "value": 5}]


def test_a_value_that_was_not_set_is_not_found(claw):
    """It is named."""
    assert claw("value", "done", "colour", code=3).stderr == (
        "claw: no value has the id 'colour'\n"
    )


# -- watch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "status", "code"),
    [("done", "completed", 0), ("failed", "failed", 1), ("poisoned", "quarantined", 1)],
)
def test_watch_ends_with_the_workflow(claw_json, id, status, code):
    """And says by its code how that was."""
    (change,) = claw_json("watch", id, code=code)
    assert (change["id"], change["status"], change["run"]) == (id, status, 1)


def test_watch_gives_up_when_its_time_is_over(claw):
    """It says where the workflow stands, and that it has not ended."""
    done = claw("watch", "paused", "--timeout", "0.01", "--every", "0.002", code=4)
    (line,) = done.stdout.splitlines()
    assert line.endswith("Z  paused  the printer is on fire")
    assert done.stderr == "claw: workflow 'paused' has not ended in 0.01 s\n"


def test_watch_prints_each_change(claw, place, monkeypatch):
    """Between two looks nothing happened; then it was resumed, and then terminated."""
    acts = [None, "resume", "terminate"]

    async def act_instead_of_sleeping(_: float) -> None:
        act = acts.pop(0)
        if act is not None:
            async with open_client(place) as client:
                await getattr(client, act)("paused")

    monkeypatch.setattr("claw_actors.cli.looking.trio.sleep", act_instead_of_sleeping)
    lines = claw("watch", "paused", code=1).stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["paused", "pending", "cancelled"]


# -- which database ---------------------------------------------------------------------------------


def test_a_database_is_named_by_an_option_a_file_or_the_environment(claw_json, place, monkeypatch):
    """The option counts most."""
    elsewhere = place.with_name("elsewhere.db")
    place.rename(elsewhere)
    assert len(claw_json("list", "--db", elsewhere)) == 5
    settings = place.with_name("my.toml")
    settings.write_text('storage.type = "sqlite"\nstorage.sqlite.path = "elsewhere.db"\n')
    assert len(claw_json("list", "--config", settings)) == 5
    monkeypatch.setenv("CLAW_STORAGE_SQLITE_PATH", str(elsewhere))
    assert len(claw_json("list")) == 5


def test_without_a_database_a_command_was_called_wrongly(claw, monkeypatch):
    """Workflows in memory are seen by their own process only."""
    monkeypatch.delenv("CLAW_STORAGE_TYPE")
    assert "give --db PATH" in claw("list", code=2).stderr


def test_a_wrong_setting_is_named(claw, monkeypatch):
    """By who has set it."""
    monkeypatch.setenv("CLAW_STORAGE_TYPE", "paper")
    assert claw("list", code=2).stderr == (
        "claw: the environment: CLAW_STORAGE_TYPE = 'paper': 'memory' or 'sqlite'\n"
    )


def test_a_database_that_is_not_there_is_a_failure_and_is_not_made(claw, place):
    """One line says which file."""
    missing = place.with_name("missing.db")
    done = claw("list", "--db", missing, code=1)
    assert done.stdout == ""
    assert done.stderr.startswith(f"claw: storage {missing} is unavailable: ")
    assert len(done.stderr.splitlines()) == 1
    assert not missing.exists()


def test_a_value_is_obeyed_by_no_terminal(claw):
    """JSON escapes some of what a terminal obeys, and not all of it."""
    text = '"\\x9b31m\\u202e\\nred"'
    assert claw("value", "failed", "note").stdout == f"{text}\n"
    assert claw("value", "failed").stdout == f"note  {text}\n"
