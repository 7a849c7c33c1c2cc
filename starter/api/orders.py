"""Orders over HTTP: place, read, list, explain, cancel, hold, release, pay another way."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.explanation import allowed_actions, explain
from fulfillment.domain.headline import headline
from fulfillment.domain.holds import HoldReason
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import OrderView
from starter.access import Caller, Needs, Scope
from starter.api.idempotency import REPLAYED, Key, asked, once
from starter.api.problems import Problem, of_business
from starter.api.schemas import (
    CancelIn,
    ChangedOut,
    DidOut,
    ExplanationOut,
    HoldIn,
    OrderOut,
    OrderRowOut,
    OrdersOut,
    PaymentIn,
    PlaceOrder,
)
from starter.doors import Doors
from starter.state import doors_of, request_id_of
from workflows.contract import VerbAnswer

router = APIRouter(prefix="/v1/orders", tags=["orders"])

# Crockford's alphabet: nothing in it can be mistaken for something else on the telephone.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Holds a storefront may place and release by itself; the others are support's to judge.
_STOREFRONT_HOLDS: Final = (HoldReason.CUSTOMER, HoldReason.ADDRESS)

OrderId = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
