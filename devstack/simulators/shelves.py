"""What truly lies on the shelves: where it differs from what our books believe, whoever picks finds it."""

from __future__ import annotations

import json
from typing import Final

from devstack.simulators.store import Json, Store

_KEPT: Final = "shelves"


class BadShelf(Exception):
    """The request about a shelf makes no sense."""


class Shelves:
    """Surprises, by order and SKU: so many units of it cannot leave, for this reason."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def arm(self, sent: Json) -> Json:
        """Let whoever picks this SKU for this order find something wrong; said again it is another surprise."""
        order, sku, reason = (str(sent.get(name) or "") for name in ("order", "sku", "reason"))
        units = sent.get("units", 1)
        if not (order and sku and reason) or not isinstance(units, int) or units < 1:
            raise BadShelf("a surprise needs an order, a sku, a reason and units of at least 1")
        found = self.listed()
        surprise = {"id": len(found) + 1, "order": order, "sku": sku, "reason": reason, "units": units}
        if sent.get("found_sku"):
            surprise["found_sku"] = str(sent["found_sku"])
        self._store.remember(_KEPT, json.dumps([*found, surprise]))
        return surprise

    def listed(self) -> list[Json]:
        """Return every surprise, oldest first."""
        found: list[Json] = json.loads(self._store.recall(_KEPT) or "[]")
        return found
