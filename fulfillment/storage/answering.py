"""What people say about a case: their answer is noted, and one that is to wait begins its playbook anew."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from fulfillment.domain.cases import Case, CaseRefused
from fulfillment.domain.playbooks import Answer, due_at, why_not
from fulfillment.domain.policy import Policy
from fulfillment.domain.record import AnswerCase
from fulfillment.storage import cases, journal

_COMMAND: Final = "answer_case"


def answer(conn: Connection, order: Row[Any], request: AnswerCase, *, now: datetime, policy: Policy) -> Case:
    """Note an answer. See `RecordStore.answer_case`."""
    case = cases.find(conn, request.kind, subject=request.subject)
    if case is None:
        raise CaseRefused(f"{request.subject} has no open case {request.kind}: look at its cases again")
    if no := why_not(request.kind, request.answer):
        raise CaseRefused(no)
    if request.answer is Answer.DONE:
        cases.resolve(conn, case.kind, subject=case.subject, resolution=request.note, now=now, by=request.by)
    elif not journal.audited(conn, order.order_id, _COMMAND, request.request_id):
        cases.put_off(conn, case, due_at=due_at(request.kind, now, policy))
    _audit(conn, order, request, case, now)
    return cases.find(conn, request.kind, subject=request.subject) or case


def _audit(conn: Connection, order: Row[Any], request: AnswerCase, case: Case, now: datetime) -> None:
    if journal.audited(conn, order.order_id, _COMMAND, request.request_id):
        return
    journal.audit(
        conn,
        order.order_id,
        actor=request.by,
        command=_COMMAND,
        outcome=f"{case.case_id}: {request.answer}",
        at=now,
        request_id=request.request_id,
        reason=request.note,
    )
