"""Webhooks out: signed like the provider's own, tried again with growing gaps, and spoiled on request."""

import asyncio
import base64
import contextlib
import hashlib
import heapq
import hmac
import logging
import random
import time
import unicodedata
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from devstack.simulators.faults import Fault, Faults
from devstack.simulators.poster import TROUBLE, Poster
from devstack.simulators.store import Json, Row, Store, dump, load

GAPS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # real seconds before tries 2 to 8
FIRST_DELAY: Final = 0.02  # so that the API's answer is usually the first to arrive
PARALLEL: Final = 24
PROVIDERS: Final = ("stripe", "easypost", "twilio")
log = logging.getLogger(__name__)


def stripe_signature(body: bytes, secret: str, at: int) -> str:
    """Return the value of Stripe-Signature."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def easypost_signature(body: bytes, secret: str) -> str:
    """Return the value of X-Hmac-Signature; the secret is NFKD-normalised, as the official clients do."""
    key = unicodedata.normalize("NFKD", secret).encode()
    return "hmac-sha256-hex=" + hmac.new(key, body, hashlib.sha256).hexdigest()


def twilio_signature(url: str, form: Mapping[str, str], token: str) -> str:
    """Return the value of X-Twilio-Signature: of the address and the sorted fields, without a time."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


class Sender:
    """Every event that has not been accepted yet, and the loop that delivers them."""

    def __init__(self, store: Store, faults: Faults, seed: int) -> None:
        self._store, self._faults, self._seed = store, faults, seed
        self._due: list[tuple[float, int]] = [
            (row["due"], row["id"])
            for row in store.rows("SELECT id, due FROM webhooks WHERE state = 'pending'")
        ]
        heapq.heapify(self._due)
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(PARALLEL)
        self._targets = {name: self._recalled(name) for name in PROVIDERS}

    def _recalled(self, provider: str) -> tuple[str, str]:
        recall = self._store.recall
        return recall(f"{provider}_webhook_url") or "", recall(f"{provider}_webhook_secret") or ""

    def aim(self, provider: str, *, url: str | None = None, secret: str | None = None) -> None:
        """Set where a provider's events go and what signs them; None leaves a part as it is, "" stops it."""
        for part, value in (("url", url), ("secret", secret)):
            if value is not None:
                self._store.remember(f"{provider}_webhook_{part}", value)
        self._targets[provider] = self._recalled(provider)

    def target(self, provider: str) -> str:
        """Return where a provider's events go; empty where nobody listens."""
        return self._targets[provider][0]

    def listens(self, provider: str) -> bool:
        """Test whether anybody asked for this provider's events."""
        return bool(self._targets[provider][0])

    def post(
        self, provider: str, event: Json, kind: str, references: list[str],
        *, delay: float = 0.0, copies: int = 1,
    ) -> None:  # fmt: skip
        """Queue an event inside the caller's transaction. Without a listener it is never stored."""
        if not self.listens(provider):
            return
        faults = self._faults.on_webhook(provider, kind, references)
        kinds = {fault.kind for fault in faults}
        if "drop" in kinds:
            return
        due = time.time() + FIRST_DELAY + delay + sum(self._late(fault, event["id"]) for fault in faults)
        flaw = next((name for name in ("bad_signature", "old_timestamp") if name in kinds), None)
        for _ in range(copies + ("duplicate" in kinds)):
            self._queue(provider, event, kind, due, flaw)

    def _late(self, fault: Fault, event: str) -> float:
        window = (fault.ms or 3000) / 1000
        match fault.kind:
            case "delay":
                return window
            case "reorder":
                return window * random.Random(f"{self._seed}:late:{event}").uniform(0.3, 1.0)
            case "burst":
                return window - time.time() % window  # all events of one window leave at its end
        return 0.0

    def _queue(self, provider: str, event: Json, kind: str, due: float, flaw: str | None) -> None:
        number = self._store.run(
            "INSERT INTO webhooks (provider, event, kind, due, tries, state, flaw, body)"
            " VALUES (?, ?, ?, ?, 0, 'pending', ?, ?)",
            provider, event["id"], kind, due, flaw, dump(event).encode(),
        )  # fmt: skip
        heapq.heappush(self._due, (due, number))
        self._news.set()

    def counts(self) -> dict[str, int]:
        """Return how many deliveries are pending, delivered and given up."""
        rows = self._store.rows("SELECT state, count(*) AS n FROM webhooks GROUP BY state")
        return {row["state"]: row["n"] for row in rows}

    async def run(self) -> None:
        """Deliver until cancelled."""
        poster = Poster(timeout=10.0)
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self._wait()
                    while self._due and self._due[0][0] <= time.time():
                        await self._slots.acquire()
                        tasks.create_task(self._deliver(poster, heapq.heappop(self._due)[1]))
        finally:
            poster.close()

    async def _wait(self) -> None:
        self._news.clear()
        patience = self._due[0][0] - time.time() if self._due else 60.0
        if patience > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), patience)

    async def _deliver(self, poster: Poster, number: int) -> None:
        try:
            row = self._store.row("SELECT * FROM webhooks WHERE id = ? AND state = 'pending'", number)
            if row is not None:
                self._note(row, accepted=await self._send(poster, row))
        finally:
            self._slots.release()

    async def _send(self, poster: Poster, row: Row) -> bool:
        url, secret = self._targets[row["provider"]]
        if not url:
            return False
        url, body, headers = _request(row, url, secret)
        headers |= {"user-agent": f"{row['provider']}-webhooks"}
        try:
            status = await poster.post(url, body, headers)
        except TROUBLE as error:
            log.debug("webhook %s: %s", row["event"], error)
            return False
        return 200 <= status < 300

    def _note(self, row: Row, *, accepted: bool) -> None:
        tries = row["tries"] + 1
        if accepted or tries > len(GAPS):
            state = "delivered" if accepted else "given_up"
            self._store.run(
                "UPDATE webhooks SET tries = ?, state = ?, body = NULL WHERE id = ?", tries, state, row["id"]
            )
            return
        due = time.time() + GAPS[tries - 1]
        self._store.run(
            "UPDATE webhooks SET tries = ?, due = ?, flaw = NULL WHERE id = ?", tries, due, row["id"]
        )  # a flaw spoils one try: the honest event follows, as from a provider that repairs itself
        heapq.heappush(self._due, (due, row["id"]))
        self._news.set()


def _request(row: Row, url: str, secret: str) -> tuple[str, bytes, dict[str, str]]:
    """Return where an event goes, its body and its headers; Twilio posts forms to an address per message."""
    key = secret + "-forged" if row["flaw"] == "bad_signature" else secret
    if row["provider"] != "twilio":
        return url, row["body"], {"content-type": "application/json"} | _signed(row, key)
    event = load(row["body"])
    signature = twilio_signature(event["url"], event["form"], key)
    headers = {"content-type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    return event["url"], urlencode(event["form"]).encode(), headers


def _signed(row: Row, key: str) -> dict[str, str]:
    if row["provider"] == "easypost":
        return {"X-Hmac-Signature": easypost_signature(row["body"], key)}
    at = int(time.time()) - (3600 if row["flaw"] == "old_timestamp" else 0)
    return {"Stripe-Signature": stripe_signature(row["body"], key, at)}
