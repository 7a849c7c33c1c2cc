"""How customers are reached: what they want to be told and how, where nothing arrives, and what came back."""

from dataclasses import replace
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from fulfillment.domain.notifications import Block, Channel, Preferences
from fulfillment.providers.notifications.smtp import bounces
from starter.access import Caller, Needs, Scope
from starter.api import patterns
from starter.api.orders import OrderId
from starter.api.problems import Problem
from starter.api.schemas import ContactIn, LiftIn, PreferencesIn
from starter.doors import Standing

router = APIRouter(prefix="/v1", tags=["messages"])

CustomerId = Annotated[str, Path(max_length=64, pattern=patterns.ID)]
Asking = Annotated[Caller, Depends(Needs(Scope.STOREFRONT, Scope.SUPPORT))]
Supporting = Annotated[Caller, Depends(Needs(Scope.SUPPORT))]
Operating = Annotated[Caller, Depends(Needs(Scope.OPS))]


class PreferencesOut(BaseModel):
    """How a customer is told: `main` is the channel on which all that must be told arrives."""

    main: Channel
    sms: bool
    delivery_news: bool
    locale: str
    zone: str

    @classmethod
    def of(cls, wanted: Preferences) -> Self:
        """Return preferences as the API shows them."""
        names = ("main", "sms", "delivery_news", "locale", "zone")
        return cls(**{name: getattr(wanted, name) for name in names})


class ContactOut(BaseModel):
    """Where nothing arrives any more, and why, by channel."""

    blocked: dict[Channel, str] = Field(default_factory=dict)


@router.get(
    "/customers/{customer_id}/preferences", response_model=PreferencesOut, summary="How a customer is told"
)
def preferences(customer_id: CustomerId, doors: Standing, _caller: Asking) -> PreferencesOut:
    """Return how a customer wants to be told; who never said gets e-mail, and no text messages."""
    return PreferencesOut.of(doors.contacts.preferences(customer_id))


@router.put(
    "/customers/{customer_id}/preferences",
    response_model=PreferencesOut,
    summary="Change how a customer is told",
)
def prefer(customer_id: CustomerId, body: PreferencesIn, doors: Standing, caller: Asking) -> PreferencesOut:
    """Change a customer's preferences; what is left out stays. `sms` is their consent: when and by which key, is kept.

    News of money, of changes and of trouble cannot be switched off; it comes on `main`.
    """
    wanted = replace(doors.contacts.preferences(customer_id), **body.model_dump(exclude_none=True))
    return PreferencesOut.of(doors.contacts.prefer(wanted, by=caller.name))


@router.get("/orders/{order_id}/contact", response_model=ContactOut, summary="Can the customer be reached")
def contact(order_id: OrderId, doors: Standing, _caller: Supporting) -> ContactOut:
    """Return on which channels nothing arrives at this order's customer."""
    return ContactOut(blocked=doors.contacts.blocked(order_id))


@router.put("/orders/{order_id}/contact", response_model=ContactOut, summary="Reach the customer elsewhere")
def reach_at(order_id: OrderId, body: ContactIn, doors: Standing, caller: Supporting) -> ContactOut:
    """Use another address or number from now on; what could not be told is told there at once."""
    doors.contacts.reach_at(order_id, email=body.email, phone=body.phone, by=caller.name)
    return ContactOut(blocked=doors.contacts.blocked(order_id))


@router.post("/contact_blocks/lift", status_code=204, summary="Let messages go somewhere again")
def lift(body: LiftIn, doors: Standing, caller: Supporting) -> Response:
    """Forget that an address bounced, or that a number's owner said STOP and then asked us to write again."""
    if not doors.contacts.unblock(body.channel, body.recipient, by=caller.name):
        raise Problem("not_found", "Messages may go there already.")
    return Response(status_code=204)


@router.post("/bounces", status_code=202, summary="An e-mail came back")
async def bounced(request: Request, doors: Standing, _caller: Operating) -> Response:
    """Take a delivery status notification (RFC 3464) as the mail server got it; it pipes them here.

    What must be told then goes by text message, or is a case for support; nothing more goes to an address that
    does not exist.
    """
    try:
        bounce = bounces.parse(await request.body())
    except bounces.NoBounce as error:
        raise Problem("malformed_body", f"This is no failed delivery: {error}.") from error
    block = Block.BOUNCED if bounce.for_good else None
    ours = await run_in_threadpool(
        doors.contacts.bounced_mail, bounce.recipient, bounce.told, bounce.why, block
    )
    if not ours:
        raise Problem("not_found", "We sent no such message.")
    return Response(status_code=202)
