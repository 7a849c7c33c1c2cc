"""What can happen to an order, by the word that its event, a webhook and the feed carry."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class EventKind(StrEnum):
    """What happened. Words are added in time, none is given another meaning."""

    RECEIVED = "received"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    HELD = "held"
    HOLD_RELEASED = "hold_released"
    SHORTAGE_ASKED = "shortage_asked"
    BACKORDERED = "backordered"
    STOCK_SHORT = "stock_short"
    STOCK_FILLED = "stock_filled"
    CLAIM_EXPIRED = "claim_expired"
    PAYMENT_DECLINED = "payment_declined"
    PAYMENT_ACTION = "payment_action"
    PAYMENT_METHOD_CHANGED = "payment_method_changed"
    AUTHORIZATION_EXPIRED = "authorization_expired"
    CAPTURED = "captured"
    VOIDED = "voided"
    REFUND_DECIDED = "refund_decided"
    REFUNDED = "refunded"
    REFUND_CAME_BACK = "refund_came_back"
    PART_CANCELLED = "part_cancelled"
    SUBSTITUTED = "substituted"
    LINES_ADDED = "lines_added"
    ADDRESS_CHANGED = "address_changed"
    ADDRESS_CORRECTED = "address_corrected"
    SERVICE_CHANGED = "service_changed"
    CHANGE_UNDONE = "change_undone"
    RELEASED = "released"
    PICKING = "picking"
    PICKED = "picked"
    PACKED = "packed"
    LABELED = "labeled"
    LABEL_VOIDED = "label_voided"
    LABEL_VOID_REFUSED = "label_void_refused"
    SHIPMENT_CANCELLED = "shipment_cancelled"
    SHIPPED = "shipped"
    PICKED_UP = "picked_up"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    ATTEMPTED = "attempted"
    AVAILABLE_FOR_PICKUP = "available_for_pickup"
    DELIVERED = "delivered"
    RETURN_TO_SENDER = "return_to_sender"
    RETURNED = "returned"
    LOST = "lost"
    DESTROYED = "destroyed"
    FOUND = "found"
    RESHIPPED = "reshipped"
    DELAYED = "delayed"
    ON_HOLD = "on_hold"
    DAMAGED = "damaged"
    CUSTOMS = "customs"
    NO_FIRST_SCAN = "no_first_scan"
    NO_SCAN = "no_scan"
    FAILED_ATTEMPT = "failed_attempt"
    LAST_ATTEMPT = "last_attempt"
    PICKUP_WAITING = "pickup_waiting"
    ADDRESS_PROBLEM = "address_problem"
    REFUSED = "refused"
    NOT_RECEIVED = "not_received"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


# A happening as it is written down: its kind, a sentence fit for the customer, and what a program reads.
Happened = tuple[EventKind, str, Mapping[str, Any]]
_E = EventKind
MEANING: Final[Mapping[EventKind, str]] = MappingProxyType(
    {
        _E.RECEIVED: "stored; nothing is claimed yet",
        _E.CONFIRMED: "stock and money are claimed: it will be sent; `promise_date` in `data`",
        _E.REJECTED: "it could not be accepted, and nothing was charged",
        _E.HELD: "it waits for somebody's look",
        _E.HOLD_RELEASED: "it goes on",
        _E.SHORTAGE_ASKED: "the customer was asked what to do about what is not there",
        _E.BACKORDERED: "something waits for stock that was there before",
        _E.STOCK_SHORT: "units that were promised were not there after all and follow later",
        _E.STOCK_FILLED: "what it waited for is there",
        _E.CLAIM_EXPIRED: "its stock was let go because it was not paid in time",
        _E.PAYMENT_DECLINED: "the bank said no, and another way is asked for",
        _E.PAYMENT_ACTION: "the customer's bank asks them to confirm",
        _E.PAYMENT_METHOD_CHANGED: "another way to pay was given",
        _E.AUTHORIZATION_EXPIRED: "the reserved money was let go by the bank",
        _E.CAPTURED: "money was taken, for what has left",
        _E.VOIDED: "reserved money was let go",
        _E.REFUND_DECIDED: "money will be given back",
        _E.REFUNDED: "money was given back",
        _E.REFUND_CAME_BACK: "a refund was returned by the customer's bank",
        _E.PART_CANCELLED: "units were taken off",
        _E.SUBSTITUTED: "an equal is sent instead of what was ordered",
        _E.LINES_ADDED: "lines were added",
        _E.ADDRESS_CHANGED: "it goes to another address",
        _E.ADDRESS_CORRECTED: "its address was put in the form that the carrier knows",
        _E.SERVICE_CHANGED: "it goes by another service",
        _E.CHANGE_UNDONE: "a change was taken back, because it was not paid",
        _E.RELEASED: "a shipment went to the floor",
        _E.PICKING: "a shipment is being picked",
        _E.PICKED: "a shipment is picked",
        _E.PACKED: "a shipment is packed",
        _E.LABELED: "a parcel has its label and its tracking number",
        _E.LABEL_VOIDED: "a label was given back",
        _E.LABEL_VOID_REFUSED: "a label was not taken back by its carrier",
        _E.SHIPMENT_CANCELLED: "a shipment will not leave",
        _E.SHIPPED: "a parcel was handed to the carrier",
        _E.PICKED_UP: "the carrier has the parcel",
        _E.IN_TRANSIT: "it is on its way",
        _E.OUT_FOR_DELIVERY: "it is on the van",
        _E.ATTEMPTED: "the carrier could not deliver it",
        _E.AVAILABLE_FOR_PICKUP: "it waits at a counter",
        _E.DELIVERED: "it was delivered",
        _E.RETURN_TO_SENDER: "it is coming back to us",
        _E.RETURNED: "it came back",
        _E.LOST: "it is lost",
        _E.DESTROYED: "it was destroyed on its way",
        _E.FOUND: "what counted as lost was found",
        _E.RESHIPPED: "another one is sent",
        _E.DELAYED: "it comes later than was promised, or the carrier says so",
        _E.ON_HOLD: "the carrier holds it",
        _E.DAMAGED: "the carrier says that it is damaged",
        _E.CUSTOMS: "it is with customs",
        _E.NO_FIRST_SCAN: "the carrier has not scanned it yet",
        _E.NO_SCAN: "the carrier has not scanned it for long",
        _E.FAILED_ATTEMPT: "the customer was told of an attempt, its number in `data`, and when the next is",
        _E.LAST_ATTEMPT: "the customer was told that it will not be brought again",
        _E.PICKUP_WAITING: "the customer was told where it waits and until when, or that this is over",
        _E.ADDRESS_PROBLEM: "its address must be checked by the customer",
        _E.REFUSED: "it was not accepted",
        _E.NOT_RECEIVED: "the customer says that it did not come",
        _E.COMPLETED: "everything of it has ended",
        _E.CANCELLED: "the order, or a label at its carrier, was cancelled",
        _E.EXPIRED: "it was cancelled because it was not paid",
    }
)
