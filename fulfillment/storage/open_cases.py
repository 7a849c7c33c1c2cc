"""Which cases are open, and which are alike: what a person looks at before they answer many at once."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, Row, bindparam, select

from fulfillment.domain.cases import CaseKind, CasesAlike, CaseState, NoSuchCase, OpenCase, alike
from fulfillment.storage.cases import case_from
from fulfillment.storage.tables import cases

_OPEN: Final = select(cases).where(cases.c.state != CaseState.RESOLVED.value, cases.c.order_id.is_not(None))
_OF_KIND: Final = _OPEN.where(cases.c.kind == bindparam("the_kind"))
_ALIKE: Final = _OF_KIND.where(cases.c.note == bindparam("the_note"), cases.c.opened_at <= bindparam("until"))
_NOTE: Final = (
    select(cases.c.note)
    .where(cases.c.order_id == bindparam("the_order"), cases.c.kind == bindparam("the_kind"))
    .order_by(cases.c.opened_at.desc(), cases.c.case_id.desc())
    .limit(1)
)


class OpenCases:
    """Reads the open cases of orders."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def groups(self, kind: CaseKind | None = None) -> tuple[CasesAlike, ...]:
        """Return the open cases, together those that are alike."""
        asked = _OPEN if kind is None else _OF_KIND
        with self._engine.connect() as conn:
            return alike(_read(conn.execute(asked, {"the_kind": kind.value} if kind else {})))

    def like(self, order_id: str, kind: CaseKind, *, until: datetime) -> CasesAlike:
        """Return the open cases of this kind with the same words as this order's latest one, itself among them.

        Whoever looked at them names with `until` when they did: what was opened later is left out.

        Raises:
            NoSuchCase: the order never had one.
        """
        said = {"the_order": order_id, "the_kind": kind.value}
        with self._engine.connect() as conn:
            note: str | None = conn.execute(_NOTE, said).scalar_one_or_none()
            if note is None:
                raise NoSuchCase(order_id, kind)
            asked = {"the_kind": kind.value, "the_note": note, "until": until}
            found = alike(_read(conn.execute(_ALIKE, asked)))
        return found[0] if found else CasesAlike(kind=kind, note=note, cases=())


def _read(rows: Iterable[Row[Any]]) -> Iterable[OpenCase]:
    return (OpenCase(order_id=row.order_id, case=case_from(row)) for row in rows)
