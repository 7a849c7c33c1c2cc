"""Webhooks of our providers: verified on the raw bytes, recorded once, answered after the commit, then handed on."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from fastapi import APIRouter, BackgroundTasks, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import Counter

from fulfillment.domain.findings import Unheard
from fulfillment.providers.carriers.easypost import webhook as easypost
from fulfillment.providers.notifications.twilio import webhook as twilio
from fulfillment.providers.payments.stripe import webhook as stripe
from starter.access import anyone
from starter.api.delivery import hand_on
from starter.api.problems import Problem
from starter.doors import Doors, Standing

# Whoever may call proves it by the signature; no API key is involved.
router = APIRouter(prefix="/webhooks", tags=["webhooks"], dependencies=[Depends(anyone)])
_log = structlog.get_logger(__name__)
_UNKNOWN_CODES: Final = Counter(
    "waybill_unknown_tracking_codes",
    "Scans reported with a code that is in no table, each time they are reported, by provider.",
    ["provider"],
)


@router.post("/stripe", status_code=202, summary="News of payments")
async def from_stripe(request: Request, doors: Standing, after: BackgroundTasks) -> Response:
    """Record an event of Stripe's once. It is a hint: money is asked about again before it is believed."""
    body = await request.body()
    _check(stripe.verify, body, request, doors.stripe_secrets, doors.real_now())
    try:
        news = stripe.parse(body)
    except stripe.BadEvent as error:
        raise _unreadable("stripe", error) from error
    return await _recorded(lambda: _payment_news(doors, news, json.loads(body)), doors, after)


@router.post("/easypost", status_code=202, summary="News of parcels")
async def from_easypost(request: Request, doors: Standing, after: BackgroundTasks) -> Response:
    """Record an event of EasyPost's once; it brings the parcel's whole history."""
    body = await request.body()
    _check(easypost.verify, body, request, doors.easypost_secrets, doors.real_now())
    try:
        report = easypost.parse(body)
    except easypost.BadEvent as error:
        raise _unreadable("easypost", error) from error
    if not report.tracking_number:
        return Response(status_code=202)
    return await _recorded(lambda: _parcel_news(doors, report, json.loads(body)), doors, after)


@router.post("/twilio/status", status_code=204, summary="News of text messages")
async def from_twilio(request: Request, doors: Standing, notification: str = "") -> Response:
    """Note what became of a text message; `notification` is its number, which we gave Twilio with it."""
    body = await _signed_by_twilio(request, doors)
    try:
        report = twilio.parse_report(body, notification)
    except twilio.BadEvent as error:
        raise _unreadable("twilio", error) from error
    await run_in_threadpool(_text_news, doors, report)
    return Response(status_code=204)


@router.post("/twilio/messages", status_code=204, summary="Text messages from customers")
async def texted(request: Request, doors: Standing) -> Response:
    """Obey STOP and START. Nothing else is answered, and nobody's words are kept."""
    body = await _signed_by_twilio(request, doors)
    try:
        heard = twilio.parse_heard(body)
    except twilio.BadEvent as error:
        raise _unreadable("twilio", error) from error
    await run_in_threadpool(_wish, doors, heard)
    return Response(status_code=204)


async def _signed_by_twilio(request: Request, doors: Doors) -> bytes:
    """Return the body of a request that Twilio signed for the address by which it knows us."""
    body, query = await request.body(), request.url.query
    url = f"{doors.public_url.rstrip('/')}{request.url.path}{'?' if query else ''}{query}"
    if not twilio.verify(url, body, request.headers, doors.twilio_tokens):
        _log.warning("webhook with a bad signature", path=request.url.path, size=len(body))
        raise Problem("bad_signature")
    return body


def _text_news(doors: Doors, report: twilio.Report) -> None:
    if report.failure is None:
        return doors.contacts.arrived(report.notification_id, report.sid, delivered=report.delivered)
    why = report.failure
    return doors.contacts.bounced(report.notification_id, report.sid, why.words, why.block, again=why.again)


def _wish(doors: Doors, heard: twilio.Heard) -> None:
    match heard.wish:
        case twilio.Wish.STOP:
            doors.contacts.stop(heard.sid, heard.phone, heard.keyword)
        case twilio.Wish.START:
            doors.contacts.start(heard.sid, heard.phone, heard.keyword)
        case _:
            doors.contacts.heard(heard.sid)


def _check(
    verify: Callable[..., bool], body: bytes, request: Request, secrets: Sequence[str], now: datetime
) -> None:
    if not verify(body, request.headers, secrets, now=now):
        _log.warning("webhook with a bad signature", path=request.url.path, size=len(body))
        raise Problem("bad_signature")


def _unreadable(provider: str, error: ValueError) -> Problem:
    _log.error("webhook we cannot read", provider=provider, why=str(error))
    return Problem("malformed_body", "The signature is good, but this is no event we know how to read.")


async def _recorded(
    record: Callable[[], Sequence[Unheard]], doors: Doors, after: BackgroundTasks
) -> Response:
    facts = await run_in_threadpool(record)
    after.add_task(hand_on, doors, facts)
    return Response(status_code=202, background=after)


def _payment_news(doors: Doors, news: stripe.News, body: Mapping[str, Any]) -> Sequence[Unheard]:
    return doors.payment_news.record("stripe", news.event_id, news.hint, body)


def _parcel_news(doors: Doors, report: easypost.TrackingReport, body: Mapping[str, Any]) -> Sequence[Unheard]:
    _UNKNOWN_CODES.labels("easypost").inc(sum(scan.is_unknown for scan in report.scans))
    return doors.parcel_news.record_report(
        "easypost",
        report.event_id,
        report.carrier,
        report.tracking_number,
        report.scans,
        report.edd,
        body,
    )
