"""How a call to the outside world can go wrong, named by what must follow.

    ProviderError
    ├── ProviderUnavailable      it did not happen; try again with patience
    │   ├── RateLimited          ... after `retry_after`
    │   ├── Conflict             ... soon, with the same key
    │   └── RateGone             ... with another quote: the one it was for is no longer sold
    ├── OutcomeUnknown           it may have happened; only asking the provider leaves this state
    │   └── FailureStored        ... and the same key would only replay the failure
    ├── StateConflict            "already captured", "already bought": read, then decide
    └── Rejected                 the request was wrong; a person looks
        ├── NotFound
        └── AuthConfig

A business no (`Declined`, `LabelRefused`, `Undeliverable`) is a `FulfillmentError` instead.
"""

from datetime import timedelta

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.notifications import Block


class ProviderError(Exception):
    """A provider did not answer as hoped. `request_id` is the provider's own, where it gave one."""

    def __init__(self, message: str, *, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.code, self.request_id = code, request_id


class ProviderUnavailable(ProviderError):
    """Nothing happened; the world is away."""


class RateLimited(ProviderUnavailable):
    """The provider asks us to wait."""

    def __init__(self, message: str, *, retry_after: timedelta, code: str = "", request_id: str = "") -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.retry_after = retry_after


class Conflict(ProviderUnavailable):
    """The same key is being worked on right now."""


class RateGone(ProviderUnavailable):
    """The rate is no longer sold at what was quoted; nothing was bought."""


class OutcomeUnknown(ProviderError):
    """A change was sent and its answer is lost: it may have happened."""


class FailureStored(OutcomeUnknown):
    """The provider failed and keeps that failure under the key: sending the same key replays it."""


class StateConflict(ProviderError):
    """The object is not in the state the request needs; after a lost answer this often means success."""


class Rejected(ProviderError):
    """The request was wrong. Retrying cannot help."""


class NotFound(Rejected):
    """The provider does not know this object."""


class AuthConfig(Rejected):
    """The provider does not accept our credentials."""


class LabelRefused(FulfillmentError):
    """The carrier will not make a label for this parcel."""


class VoidRefused(FulfillmentError):
    """The carrier will not take the label back; its cost is ours and its number must never be used."""


class Undeliverable(FulfillmentError):
    """The message cannot reach its recipient. `block` says why nothing ever will, where that is so."""

    def __init__(self, message: str, block: Block | None = None) -> None:
        super().__init__(message)
        self.block = block
