"""Our errors into Temporal's, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory, FailureError

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.provider_errors import Conflict, ProviderError, RateLimited, Rejected


def refusal(error: FulfillmentError) -> ApplicationError:
    """Return `error` as a failure that is never retried and never alarms."""
    return ApplicationError(
        str(error), type=type(error).__name__, non_retryable=True, category=ApplicationErrorCategory.BENIGN
    )


def trouble(error: ProviderError) -> ApplicationError:
    """Return a provider's trouble as a failure that is retried with patience.

    Even a request that was wrong: it is our mistake, and no order fails for it; it goes on with the fix.
    """
    return ApplicationError(str(error), type=type(error).__name__, next_retry_delay=_wait(error))


def _wait(error: ProviderError) -> timedelta | None:
    if isinstance(error, RateLimited):
        return error.retry_after
    if isinstance(error, Rejected):
        return timedelta(minutes=1)
    return timedelta(seconds=1) if isinstance(error, Conflict) else None


@contextmanager
def told_to_temporal() -> Iterator[None]:
    """Raise what goes wrong inside in Temporal's words. Anything unexpected stays a bug and is retried."""
    try:
        yield
    except FulfillmentError as no:
        raise refusal(no) from no
    except ProviderError as error:
        raise trouble(error) from error


def cause_of(failure: FailureError) -> BaseException | None:
    """Return what failed: a regular activity wraps its cause, a local one does not."""
    return failure.cause if isinstance(failure, ActivityError) else failure


def is_refusal(failure: FailureError, kind: type[FulfillmentError]) -> bool:
    """Test whether a deed was refused with this business error."""
    cause = cause_of(failure)
    return isinstance(cause, ApplicationError) and cause.type == kind.__name__


def why_refused(failure: FailureError) -> str | None:
    """Return the sentence with which the business refused a deed; None where something else failed."""
    cause = cause_of(failure)
    if isinstance(cause, ApplicationError) and cause.category is ApplicationErrorCategory.BENIGN:
        return cause.message
    return None
