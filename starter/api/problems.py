"""Every refusal: an RFC 9457 problem with a code, what is wrong where, and what to do instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import ExceptionHandler

from fulfillment.domain.calendars import InvalidCalendar
from fulfillment.domain.carriers import NoSuchPause
from fulfillment.domain.cases import NoSuchCase
from fulfillment.domain.counts import CountRefused, UnknownCount
from fulfillment.domain.errors import FulfillmentError, UnknownOrder, UnknownParcel
from fulfillment.domain.holds import NoSuchHold
from fulfillment.domain.inventory import CannotRegrade, InsufficientStock, PackedAlready, UnknownSku
from fulfillment.domain.manifests import UnknownManifest
from fulfillment.domain.notifications import BadPreferences
from fulfillment.domain.order import InvalidOrder
from fulfillment.domain.picking import (
    CheckNeeded,
    InOtherHands,
    NotScanned,
    PhotoNeeded,
    PickRefused,
    UnknownWalk,
    WrongScan,
)
from fulfillment.domain.refund import UnknownRefund
from fulfillment.domain.scan_forms import UnknownForm
from fulfillment.domain.shipment import Stop
from fulfillment.domain.transfers import TransferRefused, UnknownTransfer
from fulfillment.domain.webhooks import UnknownEndpoint
from fulfillment.storage.locks import UnknownShipment
from fulfillment.storage.orders import OrderExists
from fulfillment.storage.rejections import UnknownRejection
from fulfillment.storage.returns import NotReturnable
from fulfillment.storage.shortfall import Overtaken
from fulfillment.storage.stock import UnknownLocation
from fulfillment.storage.substitutes import BadSubstitute
from fulfillment.storage.views import BadCursor
from starter.api import patterns
from starter.orders import TemporalAway

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_SECONDS: Final = "2"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a code stands for: its HTTP status, a title, and what the caller can do about it."""

    status: int
    title: str
    instead: str
    retryable: bool = False


CODES: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "invalid_request": Meaning(
            status=422,
            title="The request cannot be accepted as it is",
            instead="Correct the fields named in `errors` and send it again; the same Idempotency-Key may be used.",
        ),
        "malformed_body": Meaning(
            status=400,
            title="The body is not the JSON it should be",
            instead="Send one JSON object with `Content-Type: application/json`.",
        ),
        "body_too_large": Meaning(
            status=413,
            title="The body is too large",
            instead="Send at most 64 KB; an order has at most 50 lines.",
        ),
        "card_number": Meaning(
            status=422,
            title="A card number does not belong here",
            instead="Send the token of a saved payment method, never a card number.",
        ),
        "idempotency_key_missing": Meaning(
            status=400,
            title="An Idempotency-Key is needed",
            instead="Send the header `Idempotency-Key` with a value of your own, or give the order an `order_id`.",
        ),
        "idempotency_key_invalid": Meaning(
            status=400,
            title="The Idempotency-Key cannot be used",
            instead="Send 1 to 255 printable characters, quoted or bare.",
        ),
        "idempotency_in_progress": Meaning(
            status=409,
            title="The first request with this key is still running",
            instead="Wait as long as `Retry-After` says, then send the same request again.",
            retryable=True,
        ),
        "idempotency_mismatch": Meaning(
            status=422,
            title="This key was used with another request",
            instead="Send the first request unchanged to get its answer, or use a new key for a new one.",
        ),
        "id_used": Meaning(
            status=409,
            title="This id was used for something else",
            instead="Send the first request unchanged to get its answer, or send this one under a new id.",
        ),
        "unauthenticated": Meaning(
            status=401, title="No valid API key", instead="Send `Authorization: Bearer` with your API key."
        ),
        "bad_signature": Meaning(
            status=401,
            title="The signature does not fit the body",
            instead="Check the webhook secret on both sides, and both clocks.",
        ),
        "forbidden": Meaning(
            status=403, title="This key may not do that", instead="Use a key that has the scope."
        ),
        "not_found": Meaning(
            status=404, title="There is no such thing", instead="Check the id; it is case-sensitive."
        ),
        "method_not_allowed": Meaning(
            status=405, title="This method is not known here", instead="Use one of the methods in `Allow`."
        ),
        "unknown_sku": Meaning(
            status=422,
            title="The catalogue has no such SKU",
            instead="Import products first, or correct the SKU.",
        ),
        "order_exists": Meaning(
            status=409,
            title="Another order has this id or reference",
            instead="Read the order that exists, or place this one under another id.",
        ),
        "too_late": Meaning(status=409, title="It is too late for that", instead="Do what `detail` says."),
        "not_allowed": Meaning(status=409, title="Not as things stand", instead="Do what `detail` says."),
        "stop": Meaning(
            status=409,
            title="Stop: do not go on with this shipment",
            instead="Do with the goods what `detail` says.",
        ),
        "wrong_scan": Meaning(
            status=409,
            title="Something else is picked here",
            instead="Put it back, and scan what `expected` says.",
        ),
        "in_other_hands": Meaning(
            status=409, title="Somebody else picks this", instead="Take another one, or wait until `until`."
        ),
        "not_scanned": Meaning(
            status=409,
            title="Not all of it lies in its tote",
            instead="Scan what `detail` names, or say as a rejection what is wrong with it.",
        ),
        "check_needed": Meaning(
            status=409,
            title="Its condition must be looked at first",
            instead="Send a check of each of `skus`, then the step again.",
        ),
        "photo_needed": Meaning(
            status=422, title="A picture is needed", instead="Send the reference of a picture as `photo`."
        ),
        "not_at_bench": Meaning(
            status=409, title="Nobody packs this", instead="Begin to pack it: `POST .../bench`."
        ),
        "at_another_bench": Meaning(
            status=409,
            title="Somebody else packs this",
            instead="Leave it to them, or begin with `take_over`.",
        ),
        "not_verified": Meaning(
            status=422,
            title="Not every unit was scanned into the carton",
            instead="Scan what `detail` names, then close the parcel again.",
        ),
        "packing_problem": Meaning(
            status=409,
            title="Something wrong lies on the bench",
            instead="Do what `detail` says, then send the scan as seen: `POST .../bench/seen`, then this request again.",
        ),
        "no_such_problem": Meaning(
            status=404,
            title="This scan was not wrong",
            instead="Read what stands as `problem` and `problem_scan`: `GET .../bench`.",
        ),
        "serial_needed": Meaning(
            status=422,
            title="This unit has a number of its own",
            instead="Send its serial number as `serial`, with the same `scan_id`.",
        ),
        "weight_off": Meaning(
            status=422,
            title="The parcel does not weigh what it should",
            instead="Look inside and weigh it again, or say in `weight_reason` why it is right.",
        ),
        "unknown_carton": Meaning(
            status=422, title="There is no such carton", instead="Take one of the bench's plan, or name none."
        ),
        "nothing_to_hand_over": Meaning(
            status=409,
            title="Nothing is ready for this carrier",
            instead="Look at `GET /v1/warehouse/work`: what is labeled, and not held, may leave.",
        ),
        "nothing_for_a_form": Meaning(
            status=409,
            title="Every parcel is on a form, or has left",
            instead="Print the forms of the manifest, or make the list again if more was labeled.",
        ),
        "not_on_manifest": Meaning(
            status=409,
            title="This is not on the list",
            instead="Take it back from the driver, or make the list again and send the same codes.",
        ),
        "insufficient_stock": Meaning(
            status=409, title="There is not that much", instead="Look at the stock levels first."
        ),
        "packed_already": Meaning(
            status=409,
            title="What would be missing is in closed parcels",
            instead="Open the parcels of `shipments` and count again, or cancel those shipments first.",
        ),
        "stock_refused": Meaning(
            status=409,
            title="Stock cannot be changed like this",
            instead="Do what `detail` says, or read the count or transfer as it stands.",
        ),
        "rate_limited": Meaning(
            status=429,
            title="Too many requests",
            instead="Wait as long as `Retry-After` says.",
            retryable=True,
        ),
        "internal_error": Meaning(
            status=500,
            title="Something went wrong on our side",
            instead="Send the same request again with the same key; it is safe. Tell us the `request_id` if it stays.",
            retryable=True,
        ),
        "temporarily_unavailable": Meaning(
            status=503,
            title="Not available for the moment",
            instead="Send the same request again after `Retry-After`; it is safe.",
            retryable=True,
        ),
    }
)


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    param: str = Field(description="The field as people write it, for example `lines[0].quantity`.")
    pointer: str = Field(description="The field as a JSON pointer, for example `#/lines/0/quantity`.")
    code: str
    detail: str


class ProblemAnswer(BaseModel):
    """A refusal, as RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instead: str = Field(description="What to do instead.")
    retryable: bool
    doc_url: str
    request_id: str
    param: str | None = None
    errors: list[FieldError] | None = None
    order_stage: str | None = None
    allowed_actions: list[str] | None = None


class Problem(Exception):
    """A refusal on its way out; `more` joins the body, `headers` the answer, `instead` says more than its code can."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        instead: str = "",
    ) -> None:
        self.code, self.meaning = code, CODES[code]
        self.instead = instead or self.meaning.instead
        self.detail = detail or f"{self.meaning.title}."
        self.errors, self.more, self.headers = tuple(errors), dict(more or {}), dict(headers or {})
        super().__init__(self.detail)


def answer(request: Request, problem: Problem, *, status: int | None = None) -> JSONResponse:
    """Return the problem as an HTTP answer."""
    doors = request.app.state.doors
    doc_url = f"{doors.public_url}/docs/errors#{problem.code}"
    body: dict[str, Any] = {
        "type": doc_url,
        "title": problem.meaning.title,
        "status": status or problem.meaning.status,
        "detail": problem.detail,
        "code": problem.code,
        "instead": problem.instead,
        "retryable": problem.meaning.retryable,
        "doc_url": doc_url,
        "request_id": request.state.request_id,
    }
    if problem.errors:
        body["param"] = problem.errors[0].param
        body["errors"] = [error.model_dump() for error in problem.errors]
    headers = dict(problem.headers)
    if problem.meaning.retryable:
        headers.setdefault("Retry-After", _RETRY_SECONDS)
    return JSONResponse(body | problem.more, body["status"], headers=headers, media_type=MEDIA_TYPE)


def of_business(error: FulfillmentError) -> Problem:
    """Return a rule's no as a problem."""
    match error:
        case (
            UnknownOrder()
            | UnknownShipment()
            | UnknownParcel()
            | NoSuchHold()
            | NoSuchPause()
            | NoSuchCase()
            | UnknownRefund()
            | UnknownCount()
            | UnknownTransfer()
            | UnknownRejection()
            | UnknownManifest()
            | UnknownForm()
            | UnknownEndpoint()
        ):
            return Problem("not_found", _sentence(error))
        case InvalidOrder(param=param, why=why) | InvalidCalendar(param=param, why=why):
            return Problem("invalid_request", str(error), errors=[field_error(param, "invalid", why)])
        case BadPreferences():
            return Problem("invalid_request", _sentence(error))
        case UnknownLocation():
            errors = [field_error("location_id", "unknown", _sentence(error))]
            return Problem("invalid_request", _sentence(error), errors=errors)
        case UnknownSku():
            return Problem("unknown_sku", _sentence(error))
        case BadSubstitute():
            errors = [field_error("substitutes", "invalid", _sentence(error))]
            return Problem("invalid_request", _sentence(error), errors=errors)
        case BadCursor():
            return Problem(
                "invalid_request", _sentence(error), errors=[field_error("cursor", "invalid", str(error))]
            )
        case OrderExists():
            return Problem("order_exists", _sentence(error))
        case InsufficientStock():
            return Problem("insufficient_stock", _sentence(error))
        case PackedAlready():
            return Problem("packed_already", _sentence(error), more={"shipments": list(error.shipments)})
        case Overtaken():
            return Problem("temporarily_unavailable", _sentence(error))
        case CountRefused() | TransferRefused() | NotReturnable() | CannotRegrade():
            return Problem("stock_refused", _sentence(error))
        case Stop():
            return Problem("stop", str(error))
        case PickRefused():
            return _of_picking(error)
        case _:
            code = getattr(error, "code", "")
            return Problem(code if code in CODES else "not_allowed", _sentence(error))


def _of_picking(error: PickRefused) -> Problem:
    match error:
        case WrongScan():
            return Problem("wrong_scan", _sentence(error), more={"expected": error.expected})
        case InOtherHands():
            more = {"picker": error.picker, "until": error.until.isoformat()}
            return Problem("in_other_hands", _sentence(error), more=more)
        case CheckNeeded():
            return Problem("check_needed", _sentence(error), more={"skus": list(error.skus)})
        case NotScanned():
            return Problem("not_scanned", _sentence(error), more={"missing": error.missing})
        case PhotoNeeded():
            return Problem("photo_needed", _sentence(error))
        case UnknownWalk():
            return Problem("not_found", _sentence(error))
    return Problem("not_allowed", _sentence(error))


def _sentence(error: FulfillmentError) -> str:
    said = str(error)
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?", "}")) else ".")


def field_error(param: str, code: str, detail: str) -> FieldError:
    """Return what is wrong with `param`, written as `lines[0].quantity`."""
    pointer = "#/" + param.replace("[", "/").replace("]", "").replace(".", "/")
    return FieldError(param=param, pointer=pointer, code=code, detail=detail)


def _of_validation(error: RequestValidationError) -> Problem:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return Problem("malformed_body", "The body is not valid JSON.")
    errors = [_one_error(one) for one in found]
    code = "card_number" if any(one.code == "card_number" for one in errors) else "invalid_request"
    what = "; ".join(f"{one.param}: {one.detail}" for one in errors[:5])
    return Problem(code, what, errors=errors)


def _one_error(one: Mapping[str, Any]) -> FieldError:
    where = [part for part in one["loc"][1:] if isinstance(part, str | int)]
    param = ""
    for part in where:
        param += f"[{part}]" if isinstance(part, int) else f"{'.' if param else ''}{part}"
    # The message alone: the value that was sent may be what must not be repeated.
    return FieldError(
        param=param or str(one["loc"][0]),
        pointer="#/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in where),
        code=str(one["type"]),
        detail=_in_words(one),
    )


def _in_words(one: Mapping[str, Any]) -> str:
    pattern = one.get("ctx", {}).get("pattern")
    return patterns.IN_WORDS.get(pattern) or str(one["msg"]).removeprefix("Value error, ")


_BY_STATUS: Final = {
    400: "malformed_body",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    503: "temporarily_unavailable",
}


async def _problem(request: Request, error: Exception) -> JSONResponse:
    return answer(request, cast(Problem, error))


async def _business(request: Request, error: Exception) -> JSONResponse:
    return answer(request, of_business(cast(FulfillmentError, error)))


async def _validation(request: Request, error: Exception) -> JSONResponse:
    return answer(request, _of_validation(cast(RequestValidationError, error)))


async def _http(request: Request, error: Exception) -> JSONResponse:
    found = cast(HTTPException, error)
    code = _BY_STATUS.get(found.status_code, "invalid_request")
    return answer(request, Problem(code, headers=found.headers), status=found.status_code)


async def _away(request: Request, error: Exception) -> JSONResponse:
    _log.warning("something we stand on is away", error=type(error).__name__, path=request.url.path)
    return answer(request, Problem("temporarily_unavailable"))


def install(app: FastAPI) -> None:
    """Make every expected way a request can fail end as a problem; bugs are caught around everything."""
    handlers: Sequence[tuple[type[Exception], ExceptionHandler]] = (
        (Problem, _problem),
        (FulfillmentError, _business),
        (RequestValidationError, _validation),
        (HTTPException, _http),
        (OperationalError, _away),
        (InterfaceError, _away),
        (PoolTimeout, _away),
        (TemporalAway, _away),
    )
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)
