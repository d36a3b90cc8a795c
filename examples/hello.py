import trio

from claw_actors import Context, open_runtime, task, workflow


@task
async def brew(cup: int) -> str:
    print(f"brewing cup {cup}")
    return f"cup {cup}"


@workflow
async def breakfast(ctx: Context, cups: int) -> list[str]:
    served: list[str] = []
    for cup in range(1, cups + 1):
        served.append(await ctx.run(brew, cup))
        await ctx.sleep(1)
    return served


async def main() -> None:
    async with open_runtime("breakfast.db", workflows=[breakfast]) as runtime:
        handle = await runtime.start(breakfast, 3, id="monday")
        print(await handle.result())


if __name__ == "__main__":
    trio.run(main)
