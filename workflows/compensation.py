"""Undo what was done, newest first; and when is it the end."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import workflow

Undo = Callable[[], Awaitable[object]]


class Compensations:
    """The undo of each deed, noted on the line before it: a deed may have happened though its answer was lost.

    So every undo must be harmless when there is nothing to undo.
    """

    def __init__(self) -> None:
        self._undos: list[Undo] = []

    def add(self, undo: Undo) -> None:
        """Note how the next deed is undone."""
        self._undos.append(undo)

    async def run(self) -> None:
        """Undo everything, newest first. What was undone is not undone again."""
        while self._undos:
            await self._undos.pop()()


def is_the_end(error: BaseException) -> bool:
    """Test whether `error` ends the workflow, rather than being a bug the worker retries until it is fixed."""
    return isinstance(error, asyncio.CancelledError) or workflow.is_failure_exception(error)
