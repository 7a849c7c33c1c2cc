"""Messages: each fact told once, each event heard and ended."""

from collections import Counter
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import Books, EventFact, Evidence, Ledger, MessageFact
from fulfillment.domain.notifications import Channel, Fact, NotificationState, QuietHours, rule_of
from fulfillment.domain.policy import DEFAULT

_N = NotificationState


@invariant(
    "told once",
    "I19",
    sees="messages",
    claim="no customer was told the same fact twice, and each message is about something that happened",
    remedy="a customer got it twice, or what is not so: write to them, and find what sent it",
)
def told_once(evidence: Evidence) -> Found:
    books, ledger = evidence.books, evidence.readable_ledger
    times = Counter(
        (m.order_id, m.fact, m.subject, m.version, m.channel, m.recipient) for m in books.messages
    )
    violations = [
        f"{order_id}: {fact} of {subject} (version {version}) is to be told {count} times by {channel}"
        for (order_id, fact, subject, version, channel, _), count in times.items()
        if count > 1
    ]
    violations += [*_shipped_untrue(books), *(_in_the_channel(books, ledger) if ledger else ())]
    violations += _texts(books, ledger) if ledger else ()
    again = sum(message.accepted - 1 for message in ledger.messages) if ledger else 0
    note = f"{again} repeated under the same Message-ID after a lost answer" if again else ""
    return Found(len(books.messages), violations, note)


def _shipped_untrue(books: Books) -> Iterator[str]:
    """Yield shipments told as shipped that did not leave, and those that left untold."""
    told = {m.subject for m in books.messages if m.fact == Fact.SHIPPED}
    left = {shipment.shipment_id for shipment in books.shipments if shipment.left}
    for shipment_id in sorted(told ^ left):
        if shipment_id in told:
            yield f"{shipment_id}: its customer is told that it left, and it did not"
        else:
            yield f"{shipment_id}: left, and its customer is not told"


def _in_the_channel(books: Books, ledger: Ledger) -> Iterator[str]:
    """Yield what the channel's own record says otherwise than ours."""
    wanted = {_name(message): message for message in books.messages if message.channel == Channel.EMAIL}
    ids: dict[str, set[str]] = {}
    for there in ledger.messages:
        ids.setdefault(there.fact, set()).add(there.message_id)
    for name, found in ids.items():
        if name not in wanted:
            yield f"{name}: the channel took it, our books never meant to send it"
        if len(found) > 1:
            yield f"{name}: sent under {len(found)} Message-IDs: {', '.join(sorted(found))}"
    for name, message in wanted.items():
        if message.state == _N.SENT and name not in ids:
            yield f"{name}: sent in our books, the channel never took it"


def _texts(books: Books, ledger: Ledger) -> Iterator[str]:
    """Yield text messages that came twice, or of which the two books differ: no receiver collapses them."""
    wanted = {
        message.notification_id: message for message in books.messages if message.channel == Channel.SMS
    }
    arrived = Counter(text.notification_id for text in ledger.texts if not text.failed)
    for text in ledger.texts:
        if text.notification_id not in wanted:
            yield f"{text.sid}: Twilio sent it, our books never meant to"
    taken = {text.notification_id for text in ledger.texts}
    for number, message in wanted.items():
        if arrived[number] > 1:
            yield f"{_name(message)}: texted {arrived[number]} times"
        if message.state == _N.SENT and number not in taken:
            yield f"{_name(message)}: texted in our books, Twilio never took it"


def _name(message: MessageFact) -> str:
    return f"order-{message.order_id}.{message.fact}.{message.subject}.{message.version}"


@invariant(
    "every message ends",
    "I14",
    sees="messages",
    claim="each was sent, withdrawn or given up with its reason, or waits for its time",
    remedy="see whether the relay of the workers runs and the mail server answers",
)
def every_message_ends(evidence: Evidence) -> Found:
    books = evidence.books
    violations = [
        f"{_name(message)}: {why}" for message in books.messages if (why := _why_stuck(message, books))
    ]
    return Found(len(books.messages), violations)


def _why_stuck(message: MessageFact, books: Books) -> str:
    if message.state == _N.PENDING and books.stale(message.not_before):
        return f"was to be sent at {message.not_before:%Y-%m-%d %H:%M}, nobody does"
    if message.state == _N.CLAIMED and (message.lease_until is None or books.stale(message.lease_until)):
        return "was taken to be sent, and never came back"
    return "was given up without a reason" if message.state == _N.DEAD and not message.why else ""


@invariant(
    "nobody is woken",
    "I19",
    sees="messages that were sent",
    claim="none but answers and urgent questions left in its recipient's night",
    remedy="see whether the zone of the message is right, and the quiet hours of the policy",
)
def nobody_is_woken(evidence: Evidence) -> Found:
    night = QuietHours.between(DEFAULT.quiet_from, DEFAULT.quiet_until)
    sent = [m for m in evidence.books.messages if m.state == _N.SENT and m.taken_at and m.zone]
    violations = [
        f"{_name(message)}: left at {at:%H:%M} in {message.zone}"
        for message in sent
        if not _is_urgent(message)
        and (at := (message.taken_at or message.not_before).astimezone(ZoneInfo(message.zone or "UTC")))
        and night.hold_at(at.time())
    ]
    return Found(len(sent), violations)


def _is_urgent(message: MessageFact) -> bool:
    return message.fact in tuple(Fact) and rule_of(Fact(message.fact)).at_once


@invariant(
    "left in peace",
    "I19",
    sees="messages that were sent",
    claim="none went to a recipient who does not exist, or who had said STOP",
    remedy="find what sent it; who said STOP and was texted again may complain to the network",
)
def left_in_peace(evidence: Evidence) -> Found:
    books = evidence.books
    since = {(block.channel, block.recipient): block.at for block in books.blocks}
    sent = [message for message in books.messages if message.state == _N.SENT and message.taken_at]
    violations = [
        f"{_name(message)}: sent by {message.channel} after its recipient was blocked"
        for message in sent
        if (blocked_at := since.get((message.channel, message.recipient)))
        and message.taken_at
        and message.taken_at > blocked_at + books.skew
    ]
    return Found(len(sent), violations)


@invariant(
    "what must be told arrives",
    "I19",
    sees="messages that could not arrive",
    claim="what the customer must know went another way, or is a case for support",
    remedy="reach the customer: `PUT /v1/orders/ID/contact` tells them what they missed",
)
def must_be_told(evidence: Evidence) -> Found:
    books = evidence.books
    lost = [message for message in books.messages if message.state in (_N.DEAD, _N.BOUNCED)]
    otherwise = {_name(m) for m in books.messages if m.state not in (_N.DEAD, _N.BOUNCED)}
    known = {case.order_id for case in books.cases if case.kind == CaseKind.CUSTOMER_UNREACHABLE}
    violations = [
        f"{_name(message)}: never arrived, and nobody is told to reach the customer"
        for message in lost
        if _cannot_be_switched_off(message)
        and _name(message) not in otherwise
        and message.order_id not in known
    ]
    return Found(len(lost), violations)


def _cannot_be_switched_off(message: MessageFact) -> bool:
    return message.fact not in tuple(Fact) or rule_of(Fact(message.fact)).must_be_told


@invariant(
    "every event ends",
    "I14",
    sees="events from providers",
    claim="each was applied, ignored for a reason, or is kept with the reason why nothing matches",
    remedy="find the parcel or payment the event is about; it is matched again by itself once that is known",
)
def every_event_ends(evidence: Evidence) -> Found:
    books = evidence.books
    known = {label.tracking_number for label in books.labels} | {p.provider_ref for p in books.payments}
    violations = [
        f"{event.provider} {event.event_id}: {why}"
        for event in books.events
        if (why := _why_open(event, books, known))
    ]
    return Found(len(books.events), violations)


def _why_open(event: EventFact, books: Books, known: set[str | None]) -> str:
    if event.state == "applied":
        return ""
    if not event.why:
        return f"{event.kind} is {event.state} without a reason"
    late = event.state == "unmatched" and books.stale(event.received_at) and event.subject in known
    return f"{event.kind} is about {event.subject}, which we know, and nobody applied it" if late else ""


@invariant(
    "facts are heard",
    "I14",
    sees="orders",
    claim="each that is open has heard every fact that was queued for it",
    remedy="see whether the relay runs and Temporal answers; it delivers what is left by itself",
)
def facts_are_heard(evidence: Evidence) -> Found:
    books = evidence.books
    open_orders = {order.order_id for order in books.orders if not order.ended}
    violations = [
        f"{signal.order_id}: has not heard {signal.name} ({signal.fact_key}) of {signal.at:%Y-%m-%d %H:%M}"
        for signal in books.signals
        if signal.order_id in open_orders and books.stale(signal.at)
    ]
    return Found(len(books.orders), violations)
