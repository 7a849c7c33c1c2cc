"""The few pages for people: the control room, the inbox, and the bank's question."""

import json
from html import escape
from typing import Any, Final

from devstack.simulators.cards import CHOICES
from devstack.simulators.store import Json

_WHOLE: Final = frozenset({"jpy", "krw", "vnd", "clp", "xaf", "xof"})  # counted without decimals

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1.5rem;color:#1d2433;background:#fafbfc}
h1{font-size:1.3rem}h2{font-size:1rem;margin-top:2rem}a{color:#2457c5;text-decoration:none}a:hover{text-decoration:underline}
table{border-collapse:collapse;width:100%;background:#fff}td,th{text-align:left;padding:.45rem .6rem;border-bottom:1px solid #e5e8ee;vertical-align:top}
th{font-size:.8rem;color:#5b6577;font-weight:600}pre{white-space:pre-wrap;background:#fff;border:1px solid #e5e8ee;padding:1rem;border-radius:6px}
iframe{width:100%;height:34rem;border:1px solid #e5e8ee;border-radius:6px;background:#fff}button{font:inherit;padding:.5rem 1rem;margin-right:.5rem}
.quiet{color:#5b6577}
"""


def page(title: str, body: str) -> str:
    """Return a whole page. The body is HTML already; the title is not."""
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'><title>{escape(title)}</title>"
    return f"<!doctype html><html lang=en><head>{head}<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"


def table(names: list[str], rows: list[list[str]]) -> str:
    """Return a table of cells that are HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def control_room(clock: Json, counts: Json, faults: list[Json], profiles: list[Json], targets: Json) -> str:
    """Return the page that shows the simulator at a glance."""
    armed = [[_code(fault.get("match") or {}), escape(f"{fault['when']} {fault['kind']}"), str(fault["fired"]),
              "yes" if fault["active"] else "spent"] for fault in faults]  # fmt: skip
    roads = [
        [escape(p["match"]["reference"] or "every parcel"), escape(p["profile"]), str(p["p"])]
        for p in profiles
    ]
    links = [
        "/mail",
        "/_sim/ledger",
        "/_sim/clock",
        "/_sim/faults",
        "/_sim/parcels",
        "/_sim/webhooks",
        "/_sim/mails",
    ]
    parts = [
        f"<p>Shop time <b>{escape(clock['shop_time'])}</b>, {clock['speed']:g} times real time.</p>",
        "<p>" + " · ".join(f"<a href='{link}'>{link}</a>" for link in links) + "</p>",
        "<h2>Counts</h2>" + table(["what", "how many"], [[escape(k), _code(v)] for k, v in counts.items()]),
        "<h2>Webhooks go to</h2>"
        + table(["provider", "address"], [[k, escape(v or "nobody")] for k, v in targets.items()]),
        "<h2>Faults</h2>" + (table(["match", "what", "fired", "active"], armed) if armed else _none()),
        "<h2>Parcels that travel differently</h2>"
        + (table(["reference", "profile", "p"], roads) if roads else _none()),
    ]
    return page("Provider simulator", "".join(parts))


def inbox(mails: list[Json]) -> str:
    """Return the list of mails, newest first."""
    rows = [
        [
            f"<a href='/mail/{mail['id']}'>{escape(mail['subject'] or '(no subject)')}</a>",
            escape(", ".join(mail["to"])), escape(mail["received_at"]), str(mail["accepted"]),
        ]
        for mail in mails
    ]  # fmt: skip
    body = table(["subject", "to", "received (shop time)", "accepted"], rows) if rows else _none()
    return page(f"Mail ({len(mails)})", "<p><a href='/_sim'>control room</a></p>" + body)


def letter(mail: Json) -> str:
    """Return one mail. Its HTML is shown in a sandbox: a mail must not run anything here."""
    facts = [["To", escape(", ".join(mail["to"]))], ["Date", escape(mail["date"])],
             ["Message-ID", escape(mail["message_id"])]]  # fmt: skip
    html = f'<h2>HTML</h2><iframe sandbox srcdoc="{escape(mail["html"])}"></iframe>' if mail["html"] else ""
    text = f"<h2>Text</h2><pre>{escape(mail['text'])}</pre>" if mail["text"] else ""
    source = f"<details><summary class=quiet>source</summary><pre>{escape(mail['raw'])}</pre></details>"
    back = "<p><a href='/mail'>all mails</a></p>"
    return page(mail["subject"] or "(no subject)", back + table(["", ""], facts) + html + text + source)


def bank_question(intent: Json) -> str:
    """Return the bank's page of a 3-D Secure payment; where nothing is asked any more, it says so."""
    what = f"<p>A shop asks for <b>{_money(intent)}</b>. <span class=quiet>{escape(intent['id'])}</span></p>"
    if intent["status"] != "requires_action":
        return page("Nothing to confirm", f"{what}<p>The payment is {escape(intent['status'])}.</p>")
    form = (
        "<form method=post>"
        "<button name=success value=true>Complete authentication</button>"
        "<button name=success value=false>Fail authentication</button></form>"
    )
    return page("Your bank asks: is this you?", what + form)


def card_choice(session: Json) -> str:
    """Return the provider's page on which a customer gives a card."""
    if session["status"] != "open":
        return page("This page has been used or has run out", "<p>Ask the shop for another link.</p>")
    buttons = "".join(
        f"<p><button name=card value='{escape(name)}'>{escape(words)}</button></p>"
        for name, words in CHOICES.items()
    )
    back = session["cancel_url"]
    leave = f"<p><a href='{escape(back)}'>Back to the shop</a></p>" if back else ""
    return page("Save a card", f"<form method=post>{buttons}</form>{leave}")


def _money(intent: Json) -> str:
    currency, amount = intent["currency"], intent["amount"]
    if currency in _WHOLE:
        return f"{amount} {currency.upper()}"
    return f"{amount // 100}.{amount % 100:02} {currency.upper()}"


def _code(value: Any) -> str:
    return f"<code>{escape(json.dumps(value) if isinstance(value, dict) else str(value))}</code>"


def _none() -> str:
    return "<p class=quiet>none</p>"
