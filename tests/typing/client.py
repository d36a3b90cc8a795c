"""What a client gives, as type checkers see it. Checked, never run."""

from __future__ import annotations

from typing import assert_type

from claw_actors import (
    Client,
    DeadMessage,
    HistoryEntry,
    OwnerStatistics,
    RecoveryPlan,
    TaskState,
    WorkflowCounts,
    WorkflowPage,
    WorkflowState,
    open_client,
)
from claw_actors.storage import JSON


async def looks(path: str) -> None:
    """What is read."""
    async with open_client(path, timeout=5) as client:
        assert_type(client, Client)
        assert_type(await client.get("a"), WorkflowState)
        assert_type(await client.list(), WorkflowPage)
        assert_type(await client.count(), WorkflowCounts)
        assert_type(await client.tasks("a"), tuple[TaskState, ...])
        assert_type(await client.history("a", after=None), tuple[HistoryEntry, ...])
        assert_type(await client.dead_letters("a"), tuple[DeadMessage, ...])
        assert_type(await client.result("a"), JSON)
        assert_type(await client.owner(), OwnerStatistics | None)
        assert_type(await client.plan_recovery(), RecoveryPlan)
        assert_type(await client.value("a", "key"), JSON)
        assert_type(await client.values("a"), dict[str, JSON])
        assert_type(await client.ask("a", "topic", 1), JSON)


async def acts(client: Client) -> None:
    """What is done."""
    assert_type(await client.send("a", "topic", object(), idempotency_key="key"), None)
    assert_type(await client.cancel("a", "reason"), None)
    assert_type(await client.fork("a", at="task"), str)
    await client.delete("a", force=True)
    await client.delete("a", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
