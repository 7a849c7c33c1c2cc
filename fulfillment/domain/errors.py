"""The root of every business refusal."""


class FulfillmentError(Exception):
    """A rule of the business said no. Retrying cannot help; a person or another path can."""


class UnknownOrder(FulfillmentError):
    """No order has this id."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"there is no order {order_id}")
        self.order_id = order_id
