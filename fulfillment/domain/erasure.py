"""Forgetting a customer: what they bought and paid stays in the books, who they are does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fulfillment.domain.errors import FulfillmentError

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Whose data is gone, from which orders, and since when."""

    customer_id: str
    order_ids: tuple[str, ...]
    at: datetime


class UnknownCustomer(FulfillmentError):
    """Nothing is known of this customer."""

    code = "not_found"

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"nothing is known of a customer {customer_id}")
        self.customer_id = customer_id


class Forgotten(FulfillmentError):
    """Nobody can say any more who placed this order."""

    code = "not_allowed"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"the customer of {order_id} was forgotten: they cannot be reached any more")
        self.order_id = order_id


class NotErasable(FulfillmentError):
    """Something of the customer's is not over yet, and needs to know who they are; `open` says what, by order."""

    code = "not_allowed"

    def __init__(self, customer_id: str, still_open: Mapping[str, Sequence[str]]) -> None:
        named = [f"{order_id} {' and '.join(why)}" for order_id, why in sorted(still_open.items())]
        more = f"; and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        super().__init__(
            f"{customer_id} cannot be forgotten yet: {'; '.join(named[:_SHOWN])}{more}. "
            "Cancel or settle these, or ask again when they are over"
        )
        self.open = {order_id: tuple(why) for order_id, why in still_open.items()}
