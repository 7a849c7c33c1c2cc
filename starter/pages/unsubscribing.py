"""One click, and no more news of deliveries: the link at the end of such a letter (RFC 8058)."""

from typing import Final

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse

from starter.access import anyone
from starter.api.problems import Problem
from starter.doors import Doors, Standing, tracked
from starter.pages.rendering import POLICY, page
from starter.pages.tracking import Token

router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])

_WITH_A_BUTTON: Final = POLICY.replace("form-action 'none'", "form-action 'self'")


@router.get("/t/{token}/unsubscribe", response_class=HTMLResponse)
def ask(token: Token, doors: Standing) -> Response:
    """Ask, and change nothing: programs that look at every link in a letter come by here."""
    return _page(token, doors, done=False)


@router.post("/t/{token}/unsubscribe", response_class=HTMLResponse)
def unsubscribe(token: Token, doors: Standing) -> Response:
    """Switch off what can be switched off, for the customer of this order."""
    return _page(token, doors, done=True)


def _page(token: str, doors: Doors, *, done: bool) -> Response:
    try:
        view = tracked(doors, token)
    except Problem:
        return page("tracking/nothing.html", status=404, shop=doors.shop_name)
    if done:
        doors.contacts.unsubscribe(view.order.order_id)
    return page("tracking/unsubscribe.html", policy=_WITH_A_BUTTON, shop=doors.shop_name, done=done)
