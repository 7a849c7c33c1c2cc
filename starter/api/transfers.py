"""Transfers over HTTP: units leave one of our locations and arrive at another."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query
from pydantic import BaseModel

from fulfillment.domain.transfers import Transfer, TransferState
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.schemas import ArrivalIn, TransferIn, WhyIn
from starter.api.stock import MovedOut, moved_out
from starter.doors import Standing

router = APIRouter(prefix="/v1/transfers", tags=["stock"])

Moving = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE))]
Looking = Annotated[Caller, Depends(Needs(Scope.WAREHOUSE, Scope.OPS))]
TransferId = Annotated[str, Path(max_length=64, pattern=patterns.ID)]


class TransferOut(BaseModel):
    """Units between two locations; `under_way` have neither arrived nor been given up."""

    transfer_id: str
    sku: str
    from_location: str
    to_location: str
    quantity: int
    received: int
    lost: int
    under_way: int
    state: TransferState
    reason: str
    sent_by: str
    sent_at: datetime
    closed_at: datetime | None


class TransfersOut(BaseModel):
    """Transfers, oldest first."""

    transfers: list[TransferOut]


@router.get("", response_model=TransfersOut, summary="Transfers")
def transfers(
    doors: Standing,
    _caller: Looking,
    only_open: Annotated[bool, Query(alias="open", description="Only those under way.")] = False,
) -> TransfersOut:
    """List the transfers."""
    return TransfersOut(
        transfers=[_out(transfer) for transfer in doors.transfers.transfers(only_open=only_open)]
    )


@router.post("", status_code=201, response_model=TransferOut, summary="Send units to another location")
def send(body: TransferIn, doors: Standing, caller: Looking) -> TransferOut:
    """Let unclaimed units leave. The same transfer again changes nothing."""
    return _out(
        doors.transfers.send(
            body.transfer_id,
            body.sku,
            body.from_location,
            body.to_location,
            body.quantity,
            by=caller.name,
            reason=body.reason,
        )
    )


@router.post("/{transfer_id}/receipts", status_code=201, response_model=MovedOut, summary="Units arrived")
def receive(
    transfer_id: TransferId, body: ArrivalIn, doors: Standing, caller: Moving, after: BackgroundTasks
) -> MovedOut:
    """Put what arrived on the shelf and serve who waits there. More than was sent is an adjustment."""
    moved = doors.transfers.receive(transfer_id, body.quantity, key=body.key, by=caller.name)
    return moved_out(doors, after, body.key, moved)


@router.post("/{transfer_id}/close", response_model=TransferOut, summary="Give up what did not arrive")
def close(transfer_id: TransferId, body: WhyIn, doors: Standing, caller: Looking) -> TransferOut:
    """Record the difference, with its reason."""
    return _out(doors.transfers.close(transfer_id, by=caller.name, reason=body.reason))


def _out(transfer: Transfer) -> TransferOut:
    return TransferOut(**asdict(transfer), under_way=transfer.under_way)
