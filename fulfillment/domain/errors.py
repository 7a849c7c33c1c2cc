"""The root of every business refusal."""


class FulfillmentError(Exception):
    """A rule of the business said no. Retrying cannot help; a person or another path can."""


class UnknownOrder(FulfillmentError):
    """No order has this id."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"there is no order {order_id}")
        self.order_id = order_id


class UnknownParcel(FulfillmentError):
    """The order has no such parcel."""

    def __init__(self, order_id: str, parcel_id: str) -> None:
        super().__init__(f"{order_id} has no parcel {parcel_id}")
