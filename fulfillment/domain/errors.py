"""The root of every business refusal."""


class FulfillmentError(Exception):
    """A rule of the business said no. Retrying cannot help; a person or another path can."""


class IdUsed(FulfillmentError):
    """An id that the sender chose was used for something else before, so this was not taken for a repeat of that.

    `what` is the id with its kind, for example `scan s-1`; `used_for` says what it stands for.
    """

    code = "id_used"

    def __init__(self, what: str, used_for: str) -> None:
        super().__init__(f"{what} was used for {used_for}: nothing was done, send this under a new id")
        self.what, self.used_for = what, used_for


class UnknownOrder(FulfillmentError):
    """No order has this id."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"there is no order {order_id}")
        self.order_id = order_id


class UnknownParcel(FulfillmentError):
    """The order has no such parcel."""

    def __init__(self, order_id: str, parcel_id: str) -> None:
        super().__init__(f"{order_id} has no parcel {parcel_id}")
