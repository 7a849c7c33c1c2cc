"""Undo what was done, newest first."""

from collections.abc import Awaitable, Callable

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
