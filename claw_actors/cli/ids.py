"""The argument ``ID``, which a shell can complete."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import CompletionItem

from .. import WorkflowFilter
from ..errors import ClawError
from .desk import Decorator, Desk, sqlite_path

__all__ = ["complete", "id_argument"]

MOST_COMPLETIONS: Final = 100
"""More are no help to who has pressed a key."""


def complete(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Find the newest ids that begin so; none where the database cannot be read."""
    query = WorkflowFilter(id_prefix=incomplete, limit=MOST_COMPLETIONS)
    try:
        path = sqlite_path(context.params.get("db"), context.params.get("config"))
        page = Desk(path=path, as_json=False).ask(lambda client: client.list(query))
    except (ClawError, click.UsageError):
        return []  # there is nobody to tell: the line is being edited
    return [CompletionItem(one.id, help=one.status) for one in page.items]


id_argument: Final[Decorator] = click.argument("id", shell_complete=complete)
