"""Which fact tells the customer what. One effective message per fact, version, channel and recipient."""

from enum import StrEnum


class Fact(StrEnum):
    """News a customer is told."""

    CONFIRMED = "confirmed"
    BACKORDERED = "backordered"
    PART_CANCELLED = "part_cancelled"
    PAYMENT_DECLINED = "payment_declined"
    SHIPPED = "shipped"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    LOST = "lost"
    CANCELLED = "cancelled"
    PAYMENT_ACTION = "payment_action"  # the bank asks the customer to confirm; the link is in the data
    SHORTAGE_ASKED = "shortage_asked"
    CHANGED = "changed"
    ADDRESS_ASKED = "address_asked"
    REFUNDED = "refunded"


class NotificationState(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENT = "sent"
    WITHDRAWN = "withdrawn"
    SUPPRESSED = "suppressed"
    DEAD = "dead"


def message_id(order_id: str, fact: Fact, subject: str, version: int, host: str) -> str:
    """Return the deterministic Message-ID of a fact, by which a repeated send collapses at the receiver."""
    return f"<order-{order_id}.{fact}.{subject}.{version}@{host}>"
