"""Cases over HTTP, many at a time: which are alike, and answering all of them."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Final, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from fulfillment.domain.cases import CaseKind, CasesAlike
from fulfillment.domain.playbooks import Answer, why_not
from starter.access import Caller, Needs, Scope
from starter.api.idempotency import Answered, Key, asked, once
from starter.api.problems import Problem
from starter.api.schemas import AnswerAlikeIn
from starter.bulk import Came, NotAllAsked, answer_alike
from starter.doors import Doors, Standing

router = APIRouter(prefix="/v1/cases", tags=["orders"])

Supporting = Annotated[Caller, Depends(Needs(Scope.SUPPORT))]

_EXAMPLES: Final = 3


class CasesAlikeOut(BaseModel):
    """Open cases of one kind with the same words. At `first_due_at` the first of them is due."""

    kind: CaseKind
    note: str
    cases: int
    first_due_at: datetime
    examples: list[str]

    @classmethod
    def of(cls, group: CasesAlike) -> Self:
        """Return a group as the API shows it."""
        return cls(
            kind=group.kind,
            note=group.note,
            cases=len(group.cases),
            first_due_at=group.first_due_at,
            examples=[one.order_id for one in group.cases[:_EXAMPLES]],
        )


class CasesOut(BaseModel):
    """What is open, the most urgent first."""

    groups: list[CasesAlikeOut]


class RefusedCaseOut(BaseModel):
    """A case that could not be answered so, by what it is about, and why."""

    subject: str
    detail: str


class AnsweredAlikeOut(BaseModel):
    """What was answered, or with `dry_run` what would be. Only what was open by `until` counts."""

    dry_run: bool
    kind: CaseKind
    note: str
    answer: Answer
    cases: int
    until: datetime
    answered: list[str]
    refused: list[RefusedCaseOut]


@router.get("", response_model=CasesOut, summary="What is open, by reason")
def open_cases(
    doors: Standing, _caller: Supporting, kind: Annotated[CaseKind | None, Query()] = None
) -> CasesOut:
    """List how many cases are open for the same reason."""
    return CasesOut(groups=[CasesAlikeOut.of(group) for group in doors.cases.groups(kind)])


@router.post("/answer", response_model=AnsweredAlikeOut, summary="Answer cases that are alike")
async def answer(
    body: AnswerAlikeIn, request: Request, doors: Standing, caller: Supporting, key: Key
) -> Response:
    """Answer every case that is like the one of the order named, or with `dry_run`, as it comes, only count them.

    Each order is asked by itself and may refuse. Send the `until` of the dry run, and nothing is answered that you
    did not see.
    """
    if no := why_not(body.kind, body.answer):
        raise Problem("not_allowed", no)
    work = partial(_answer, body, doors, caller, key)
    if key:
        return (await once(doors.idempotency, asked(request, body, caller=caller, key=key), work)).response()
    return (await work()).response()


async def _answer(body: AnswerAlikeIn, doors: Doors, caller: Caller, key: str) -> Answered:
    until = body.until or doors.now()
    group = await run_in_threadpool(partial(doors.cases.like, body.like, body.kind, until=until))
    came = [] if body.dry_run else await _each(group, body, doors, caller, key)
    answer = AnsweredAlikeOut(
        dry_run=body.dry_run,
        kind=group.kind,
        note=group.note,
        answer=body.answer,
        cases=len(group.cases),
        until=until,
        answered=_answered(came),
        refused=[RefusedCaseOut(subject=one.name, detail=one.refused) for one in came if one.refused],
    )
    return Answered(body=answer.model_dump(mode="json"))


async def _each(group: CasesAlike, body: AnswerAlikeIn, doors: Doors, caller: Caller, key: str) -> list[Came]:
    request_id = f"answer:{caller.name}:{key or secrets.token_hex(12)}"
    each = answer_alike(
        doors.processes, group, body.answer, note=body.note, by=caller.name, request_id=request_id
    )
    try:
        return [one async for one in each]
    except NotAllAsked as away:
        raise Problem(
            "temporarily_unavailable", f"{away}.", more={"answered": _answered(away.came)}
        ) from away


def _answered(came: Sequence[Came]) -> list[str]:
    return [one.name for one in came if not one.refused]
