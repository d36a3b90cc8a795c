"""An agent that wants to delete files, and asks a human first, who answers while it is dead.

    python agent_approval.py

The agent is a loop: rules choose a tool, the tool is called, what it says goes into the notes. Two
of them tidy up a directory each, propose what to delete, and wait. Then their process is SIGKILLed.
One human answers while nobody is there to listen; the other never does, and the deadline passes.
The process is started again: the one agent does what was approved, the other does nothing.

A witness (``_agent_trial.py``) looks at the directories, and at a log of all calls of tools.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TypeAlias, cast

import attrs
import trio
from _agent_trial import ProcessFailedError, judge, look, make_tree, report, run

from claw_actors import Context, open_client, open_runtime, task, task_info, workflow

DAY_S = 86_400
CHUNK_BYTES = 1_000_000
PATIENCE_S = 3.0  # so that nobody who runs this has to wait; a day would be as good

# -- tools: tasks, whose outcome is recorded once ---------------------------------------------------


@attrs.frozen
class File:
    path: str
    size: int
    age_days: float


@attrs.frozen
class Folder:
    files: tuple[File, ...]
    folders: tuple[str, ...]


def note(tool: str, root: str, path: str) -> None:
    """Append a line to the log of the witness, before anything is done."""
    line = f"{tool} {Path(root).name}/{path}\n"
    log = os.open(Path(root).parent / "tools.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, line.encode())
    os.close(log)


@task
def list_folder(root: str, folder: str) -> Folder:
    note("list", root, folder)
    entries = sorted(Path(root, folder).iterdir())
    now = time.time()
    return Folder(
        tuple(
            File(
                str(one.relative_to(root)), one.stat().st_size, (now - one.stat().st_mtime) / DAY_S
            )
            for one in entries
            if one.is_file()
        ),
        tuple(str(one.relative_to(root)) for one in entries if one.is_dir()),
    )


@task(heartbeat_timeout=60.0)
def fingerprint(root: str, path: str) -> str:
    note("fingerprint", root, path)
    whole = hashlib.sha256()
    with Path(root, path).open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            whole.update(data)
            # Of a large file it is seen how far this has come. A minute of silence is a failure.
            task_info().heartbeat(file.tell())
    return whole.hexdigest()


@task
def delete(root: str, path: str) -> None:
    note("delete", root, path)
    # A task may run again if it was killed before its outcome was recorded.
    Path(root, path).unlink(missing_ok=True)


# -- the agent: notes, rules, a loop ----------------------------------------------------------------


@attrs.frozen
class Look:
    folder: str


@attrs.frozen
class Compare:
    path: str


@attrs.frozen
class Deletion:
    path: str
    why: str


@attrs.frozen
class Propose:
    deletions: tuple[Deletion, ...]


Step: TypeAlias = Look | Compare | Propose


@attrs.define
class Notes:
    """What the agent knows so far; a replay writes the same notes again."""

    unseen: list[str] = attrs.field(factory=lambda: [""])
    files: list[File] = attrs.field(factory=list[File])
    prints: dict[str, str] = attrs.field(factory=dict[str, str])

    def next_step(self) -> Step:
        """Choose what to do next, by rules.

        A language model could choose as well: called in a task, like any tool, so that its answer
        is recorded, and the same on a replay.
        """
        if self.unseen:
            return Look(self.unseen.pop(0))
        sizes = [one.size for one in self.files]
        for one in self.files:
            if sizes.count(one.size) > 1 and one.path not in self.prints:
                return Compare(one.path)
        deletions = [
            Deletion(one.path, "a log, older than a year")
            for one in self.files
            if one.path.endswith(".log") and one.age_days > 365
        ]
        originals: dict[str, str] = {}
        for path in sorted(self.prints, key=len):
            original = originals.setdefault(self.prints[path], path)
            if original != path:
                deletions.append(Deletion(path, f"the same as {original}"))
        return Propose(tuple(deletions))


@attrs.frozen
class Approval:
    """A human's answer."""

    by: str
    paths: tuple[str, ...]


@workflow
async def tidy(ctx: Context, root: str, patience: float) -> str:
    """Propose what to delete, wait for an approval, and delete what it names."""
    notes = Notes()
    while not isinstance(step := notes.next_step(), Propose):
        match step:
            case Look(folder):
                found = await ctx.run(list_folder, root, folder)
                notes.files += found.files
                notes.unseen += found.folders
            case Compare(path):
                notes.prints[path] = await ctx.run(fingerprint, root, path)

    ctx.set_value("proposal", step.deletions)  # for whoever is to answer; see `be_human` below
    approval = Approval("nobody", ())  # what holds if there is no answer: the safe thing
    # The deadline outlives the process. An answer that has come in time is found here, however
    # late this code runs.
    with ctx.move_on_after(patience):
        approval = await ctx.receive("approval", Approval)

    # An approval of what was not proposed is none.
    granted = [one for one in step.deletions if one.path in approval.paths]
    for one in granted:
        await ctx.run(delete, root, one.path)
    return f"approved by {approval.by}: {len(granted)} of {len(step.deletions)}"


async def be_agents(directory: Path) -> None:
    """One life of the agents' process: begin, or go on."""
    async with open_runtime(directory / "agents.db", workflows=[tidy]) as runtime:
        agents = [
            await runtime.start(tidy, str(directory / name), PATIENCE_S, id=f"tidy-{name}")
            for name in ("downloads", "photos")
        ]
        for agent in agents:
            proposal = await agent.wait_value("proposal", tuple[Deletion, ...])
            print(f"{agent.id} proposes to delete {len(proposal)} files", flush=True)
        for agent in agents:
            print(f"{agent.id}: {await agent.result()}", flush=True)


# -- the human: another process ---------------------------------------------------------------------


async def be_human(directory: Path) -> None:
    """Read what one agent proposes, and approve most of it, while no agent lives."""
    # A client runs nothing. If an agent lived, its process would be asked to take the answer; since
    # none does, the client opens the database for that moment, and leaves the answer there.
    async with open_client(directory / "agents.db") as client:
        # What it reads is plain JSON: who answers need not have the agent's code.
        shown = cast("list[dict[str, str]]", await client.value("tidy-downloads", "proposal"))
        proposal = [Deletion(**one) for one in shown]
        for one in proposal:
            print(f"  {'keep  ' if is_dear(one) else 'delete'} {one.path} ({one.why})", flush=True)
        approved = tuple(one.path for one in proposal if not is_dear(one))
        # What was not proposed is not deleted, whatever is sent.
        approval = Approval("ada", (*approved, "programs/other.pdf"))
        for _ in range(2):  # a nervous click, twice: the key makes it one answer
            await client.send("tidy-downloads", "approval", approval, idempotency_key="click-1")


def is_dear(deletion: Deletion) -> bool:
    return "tax" in deletion.path or "2019" in deletion.path


# -- the demonstration ------------------------------------------------------------------------------


def run_trial(directory: Path, seed: int) -> bool:
    """Let the agents be killed while they wait. Returns whether everything held."""
    make_tree(directory / "downloads", seed)
    make_tree(directory / "photos", seed + 1)
    before = look(directory)
    program = [sys.executable, __file__, str(directory)]
    run([*program, "agents"], kill_at="tidy-photos proposes")
    deadline = time.monotonic() + PATIENCE_S
    print("SIGKILL. No agent lives any more. Now a human answers, one of them:")
    said = [line.split(maxsplit=2)[:2] for line in run([*program, "human"])]
    killed = look(directory)
    time.sleep(max(0.0, deadline - time.monotonic()))
    print("The time to answer is over, for both. The agents are started again:")
    run([*program, "agents"])
    approved = [path for verb, path in said if verb == "delete"]
    rejected = [path for verb, path in said if verb == "keep"]
    return report(judge(before, killed, look(directory), approved, rejected))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="An agent that asks before it deletes files.")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses the files")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="claw-agent-") as directory:
            return 0 if run_trial(Path(directory), options.seed) else 1
    except ProcessFailedError as error:
        print(f"agent_approval.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case [directory, "agents"]:
            trio.run(be_agents, Path(directory))
        case [directory, "human"]:
            trio.run(be_human, Path(directory))
        case _:
            sys.exit(main())
