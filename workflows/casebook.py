"""The open cases of one order, as its workflow knows them."""

from datetime import datetime, timedelta

from fulfillment.domain.cases import Case, CaseKind, attention
from fulfillment.domain.record import OpenCase, ResolveCase
from workflows import steps


class Casebook:
    """Opens and ends cases; the most urgent one is the order's Attention."""

    def __init__(self, order_id: str) -> None:
        self._order_id = order_id
        self._open: dict[tuple[str, CaseKind], Case] = {}

    @property
    def cases(self) -> tuple[Case, ...]:
        """The open cases, oldest first."""
        return tuple(self._open.values())

    @property
    def attention(self) -> CaseKind | None:
        """The kind of the most urgent one."""
        return attention(self._open.values())

    async def open(
        self, subject: str, kind: CaseKind, *, now: datetime, within: timedelta, note: str = ""
    ) -> None:
        """Open a case; a second detection joins the first."""
        if (subject, kind) not in self._open:
            self._open[subject, kind] = await steps.open_case(
                OpenCase(order_id=self._order_id, subject=subject, kind=kind, due_at=now + within, note=note)
            )

    def joined(
        self, subject: str, kind: CaseKind, *, now: datetime, due_at: datetime, note: str = ""
    ) -> None:
        """Note a case that a deed opened together with its fact."""
        case_id = f"{subject}:{kind}"
        self._open[subject, kind] = Case(
            case_id=case_id, kind=kind, subject=subject, opened_at=now, due_at=due_at, note=note
        )

    def over(self, subject: str, kind: CaseKind) -> None:
        """Note that the books ended a case beside the workflow."""
        self._open.pop((subject, kind), None)

    async def resolve(self, subject: str, *kinds: CaseKind, resolution: str) -> None:
        """End the cases of these kinds about `subject`, where there are any."""
        for kind in kinds:
            if self._open.pop((subject, kind), None):
                await steps.resolve_case(
                    ResolveCase(order_id=self._order_id, subject=subject, kind=kind, resolution=resolution)
                )
