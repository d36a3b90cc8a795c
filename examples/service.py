"""A service: it sends letters, one a second, and goes on where it was, however often it is killed.

    CLAW_STORAGE_TYPE=sqlite claw run service:workflows --serve service:serve

``claw run`` opens the database, recovers, runs the workflows, and stops them on SIGTERM. What is
left to write is the workflows, and what starts them. The image of the Dockerfile runs this one; put
your own in its place.
"""

import os

from claw_actors import Context, Runtime, errors, task, workflow

LETTERS = int(os.environ.get("LETTERS", "100"))


@task
async def send_letter(number: int) -> None:
    """A real one asks a mail server, and tells it ``task_info().idempotency_key``."""
    print(f"letter {number} is sent", flush=True)


@workflow
async def mailing(ctx: Context, letters: int) -> int:
    for number in range(1, letters + 1):
        await ctx.run(send_letter, number)
        ctx.set_value("sent", number)
        await ctx.sleep(1)
    return letters


workflows = [mailing]


async def serve(runtime: Runtime) -> None:
    """Start what there is to do; a real service listens to a queue here, or serves HTTP."""
    # The same id and arguments at each start: it is begun once, and attached to from then on.
    try:
        handle = await runtime.start(mailing, LETTERS, id=f"mailing-of-{LETTERS}")
    except errors.HistoryPrunedError as done:
        # `claw prune` has removed it, and its id is remembered: it is not to be done again.
        print(done, flush=True)
        return
    print(f"{handle.id}: all {await handle.result()} letters are sent", flush=True)
