"""The parts of the documentation that the code knows better: `python docs/generate.py` writes them into the pages.

A page marks such a part with `<!-- generated: NAME -->` and `<!-- end -->`. tests/test_docs.py fails when a part is
no longer what the code says.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

ROOT: Final = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from devstack.temporal import NAMESPACE, SEARCH_ATTRIBUTES
from fulfillment.domain import counts, order, payment, refund, replenishment, reservation, shipment
from fulfillment.domain.cases import OWNER, SEVERITY, CaseKind
from fulfillment.domain.events import MEANING, EventKind
from fulfillment.domain.policy import Policy
from fulfillment.settings import Settings

PART: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
TEMPORAL_UI: Final = "http://localhost:8233"

SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "database_url": "PostgreSQL, `postgresql://USER:PASSWORD@HOST/DATABASE`. Web and workers need it",
        "speed": "Shop seconds per real second. 1 in production, see [decision 8](decisions/0008-shop-clock.md)",
        "clock_anchor": "The instant at which shop time and real time agree",
        "stripe_url": "Where payments go; a simulator for a trial",
        "stripe_key": "Stripe's secret key. Workers need it",
        "stripe_webhook_secret": "Signs what Stripe tells us; without it none of its webhooks is let in",
        "easypost_url": "Where labels come from; a simulator for a trial",
        "easypost_key": "EasyPost's key. Workers need it with `easypost`",
        "easypost_webhook_secret": "Signs what EasyPost tells us; without it none of its webhooks is let in",
        "carrier": "Who sells labels and follows parcels: `easypost` or `karrio`",
        "karrio_url": "The Karrio server of your own",
        "karrio_key": "An API key of that server. Workers need both with `karrio`",
        "smtp_host": "The mail server. Workers need it",
        "smtp_port": "Its port; STARTTLS is used where it is offered",
        "smtp_user": "Who we are to the mail server, where it asks",
        "smtp_password": "The password to it",
        "twilio_url": "Where text messages go; a simulator for a trial",
        "twilio_account": "Twilio's account SID. Without it the shop sends no text messages",
        "twilio_token": "Its auth token, which also signs what Twilio tells us",
        "twilio_from": "Our number, or a messaging service (`MG..`), which knows the numbers of many countries",
        "mail_from": "Whom customers see as the sender. Its name is the shop's name on pages and in messages",
        "webhooks_to_private": "Whether webhooks may go to addresses inside our own network; for a trial",
        "public_url": "How customers reach the web process; tracking links begin with it",
        "simulator_url": "The providers' simulator, whose ledger the audit reads. Empty in production",
        "temporal_metrics_url": "Where the Temporal server shows its counters, for the benchmarks",
        "temporal_ui_url": "Where the Temporal UI is, for links to it",
        "api_keys": 'Who may call the API: `{"KEY": ["storefront", "support", "warehouse", "ops"]}`',
        "api_key": "The key that the command line and the bots use",
        "ready_file": "A file the worker touches when it is ready, for whoever started it",
    }
)

POLICY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "version": "The name of this set of rules",
        "reservation_ttl": "A claim on stock that nobody pays for lasts this long; a payment under way keeps it",
        "reservation_grace": "The audit complains of a claim that has run out only after this time",
        "shortage": "When not everything is there: `split`, `ask` the customer, `ship_complete` or `cancel` the rest",
        "substitution": "A listed equal for what is not there, at no higher price: `off`, with the customer's `consent`, or `automatic`",
        "shortage_default": "What is done when the customer does not answer: `wait`, `split` or `drop`",
        "ask_customer_wait": "How long the customer is waited for about a shortage",
        "count_review_over_units": "A count that differs by more units is decided by a second person",
        "condition_check": "What is looked at before it leaves: `always` everything, by `rule`, or `off`",
        "condition_check_value": "By rule: what costs as much, minor units; what is fragile or numbered; what lies beside returned units",
        "pick_lease": "How long a picker may be silent before somebody else may take the shipment",
        "most_totes": "How many shipments one walk picks at most",
        "count_within": "How soon a shelf is counted on which units were not found",
        "inspection_within": "How soon units that were set aside while picking are looked at",
        "count_review_over_value": "So is one that differs by more than this in value, minor units",
        "split_capture": "One authorization per shipment, or one for all where the charge allows several captures",
        "payment_retry_wait": "A declined order waits this long for another way to pay, then expires",
        "payment_auto_retry": "A bank that could not answer is asked once more by itself after this time",
        "payment_action_wait": "A customer has this long to confirm a payment with their bank",
        "authorization_lead": "Something is done about an authorization that ends within this time, before its goods leave",
        "on_expiry": "What: `reauthorize`, `capture_early`, or `hold` and ask the customer",
        "unknown_sla": "A payment request in doubt for this long is asked about by the sweep, and is a case",
        "refund_approval_over": "A refund of more waits for a second person; minor units",
        "refund_approval_count": "So does one for a customer with so many refunds before",
        "refund_approval_within": "Refunds of this time count as before",
        "dispute_lead": "Evidence in a dispute is due this long before the bank's own deadline",
        "risk_hold_score": "From this risk score on an order waits for a person",
        "risk_reject_score": "From this risk score on a payment is refused",
        "risk_value": "Above this total a card from another country than the goods' may wait for a person; minor units",
        "risk_foreign_card": "Whose card does: `everybody`'s, `nobody`'s, or `unproven`: neither the provider's look at the "
        "payment nor an order before speaks for them",
        "hold_escalate_after": "A customer has this long to correct an address that the carrier cannot find",
        "hold_default_after": "A hold nobody answers takes its default after this time",
        "handling": "What the warehouse needs, in the promise: business days, the first one included",
        "ship_within": "A shipment should have left within so many business days of its location",
        "carrier_choice": "Which offer is taken: the cheapest that is sure to keep the promise, or `cheapest`, `fastest`, `most_reliable`, `least_cost`",
        "carrier_sure": "Sure is a service whose own parcels bear out at least this chance to arrive in time",
        "late_costs_percent": "What a late parcel costs, in per cent of its goods",
        "late_costs_least": "It costs at least this; minor units",
        "explore_percent": "So many of a hundred parcels try a service of which little is known",
        "explore_over": "Such a trial may cost more than the best offer by this; minor units",
        "label_format": "What labels are printed from: `png`, `pdf` or `zpl`",
        "rate_life": "Offers older than this are asked for anew",
        "rate_tolerance_percent": "What was quoted may have risen by this when it is bought",
        "rate_tolerance_least": "It may have risen by this in any case; minor units",
        "carrier_down_after": "A carrier whose labels fail for this long is a case",
        "address_check": "Before a label: `correct` what carriers know in another form and say so, `ask` the customer, or `off`",
        "address_give_up": "An address nobody answers for is waited for this long, then the order is cancelled",
        "transit_days": "Business days on the road at home, in the promise, where no lane's history says more",
        "transit_days_abroad": "The same abroad",
        "promise_share": "So many of a lane's parcels arrive within the days that are promised",
        "lane_window": "What a lane delivered longer ago says nothing any more",
        "lane_parcels_at_least": "With fewer deliveries a lane has no silence and no forecast of its own",
        "late_when": "A parcel is told late once so many of those like it came after the promised day",
        "weight_tolerance": "How far a closed parcel may be from what it should weigh, as a share of it",
        "weight_slack_g": "What paper, tape and scales explain all the same, in grams",
        "backorder_days": "Days until missing stock comes, in the promise",
        "sourcing": "What decides between locations that ship as much, in this order",
        "max_parcels": "An order is split over so many locations at most; how many cartons each fills does not count",
        "split_min_value": "A part worth less waits for a whole one, where it may wait; minor units",
        "lost_or_damaged": "What is lost or damaged is sent again (`reship`) where there is more, or its money goes back (`refund`)",
        "keep_item_under": "Up to this value what was not received is made good without waiting for a trace; minor units",
        "carrier_switch_after": "A carrier that is down calls support after this time, and another one is taken unless only it can keep the promise",
        "rate_decided_within": "When every offer rose by more than is allowed, a person has this long to stop it; then the best is bought",
        "trace_after": "The customer hears of a parcel without a first scan this long after it was noticed",
        "max_attempts": "After so many failed attempts a carrier comes no more: support's case, and it is left to come back",
        "pickup_remind_after": "Who does not pick up a parcel is reminded after this time, and on the last day but one",
        "pickup_hold": "The last day at a pickup point that the customer is told; then it is left to come back",
        "customs_wait": "A parcel at customs calls its next owner after this time: the customer's is support, support's ops",
        "damage_decided_within": "A damaged parcel is made good by itself after this time",
        "return_answer_within": "The customer is waited for so long to say what becomes of a parcel that comes back",
        "rts_wait": "What comes back and has not arrived counts as lost after this time",
        "late_offer_after": "A late parcel calls support after this time, which may offer something",
        "carrier_claim_within": "A carrier takes a claim for what it lost or broke this long after it got it",
        "carrier_claim_lead": "A claim that is still open this long before its last day calls ops",
        "retention": "So long after its end an order is nobody's any more: see [forgetting](#forgetting-a-customer)",
        "claim_window": "A customer may say so long after the delivery that nothing was received",
        "not_received_wait": "What was not received may turn up for so long, then it is decided",
        "trace_wait": "Where more is at stake, the carrier's trace is waited for so long before",
        "service_level_z": "How sure stock lasts until the next receipt: 1.28 is 90 %, 1.65 95 %, 2.33 99 %",
        "demand_days": "Demand is reckoned from so many whole days",
        "demand_days_at_least": "With fewer days of experience, the reorder point set by hand counts",
        "demand_sales_at_least": "With fewer sales, too",
        "review_days": "How often what runs low is looked for, in days",
        "orders_by_itself": "What runs low is ordered at once; else a person approves it",
        "first_scan_within": "A parcel should be scanned within this time after it left",
        "scan_silence": "A parcel should be scanned at least this often; a lane's history refines it",
        "scan_silence_abroad": "The same across a border",
        "lost_after": "A parcel silent for this long is given up and refunded; a slow lane's for longer",
        "lost_after_abroad": "The same across a border",
        "future_scan_tolerance": "A scan dated further ahead than this waits until its time comes",
        "support_answer_within": "How long a case may wait for its owner before the next one is called, and reminded",
        "ops_answer_within": "The same, where money or an order stands still",
        "bad_signal_within": "The same, for a command that could not be read",
        "quiet_from": "From this time of day, where the customer is, messages that can wait do",
        "quiet_until": "Until this time of day",
        "delay_told_every": "That an order is late is told at most once in this time; the newest day counts",
        "message_retry_after": "A text message that did not reach the handset is sent once more after this time",
        "webhook_alarm_after": "A storefront's endpoint that takes nothing for this long is a case",
        "unmatched_after": "A provider's event that nothing of ours explains is a case after this time",
        "tracking_link_life": "A tracking link works this long after its order ended",
    }
)

# The number sorts the menu of the Temporal UI.
VIEWS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1 Needs a person": 'WorkflowType="Order" AND Attention IS NOT NULL AND ExecutionStatus="Running"',
        "2 On hold": 'Holds IS NOT NULL AND ExecutionStatus="Running"',
        "3 Late": 'Attention IN ("delayed","warehouse_late") AND ExecutionStatus="Running"',
        "4 Carrier down": 'Attention="carrier_down" AND ExecutionStatus="Running"',
        "5 No scan": 'Attention IN ("no_first_scan","no_scan") AND ExecutionStatus="Running"',
        "6 To ship": 'WorkflowType="Order" AND Stage="confirmed" AND ExecutionStatus="Running"',
        "7 On the way": 'WorkflowType="Order" AND Stage="in_transit" AND ExecutionStatus="Running"',
        "8 Bad signals": 'Attention="bad_signal" AND ExecutionStatus="Running"',
        "9 Bugs": 'ExecutionStatus IN ("Failed","TimedOut","Terminated")',
        "9 Stuck tasks": 'TemporalReportedProblems IN ("category=WorkflowTaskFailed")',
    }
)

ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Stage": "`received`, `confirmed`, `backordered`, `in_transit`, then how it ended. Finer steps are in PostgreSQL",
        "Attention": "Kind of the most urgent open case; **unset when all is well**",
        "OrderId": "`SO-10483`",
        "Customer": "The storefront's opaque id",
        "Channel": "`storefront-us`",
        "Carrier": "Who carries it",
        "Location": "Every warehouse it ships from",
        "Holds": "`fraud`, `payment`, `manual` ...",
        "Tracking": "Every parcel's number",
        "Promised": "The day the customer was told",
        "Edd": "The day as it is estimated now",
        "Value": "`66.0`",
    }
)


def contracts() -> str:
    """The import contracts that hold."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return "\n".join(f"- {contract['name']}" for contract in told)


def picture(table: Mapping[Any, frozenset[Any]]) -> str:
    """A transition table as a picture, in the order in which the statuses are written down."""
    statuses: type[StrEnum] = type(next(iter(table)))
    lines = [f"    [*] --> {next(iter(statuses))}"]
    for status in statuses:
        lines += [f"    {status} --> {to}" for to in statuses if to in table[status]]
        lines += [] if table[status] else [f"    {status} --> [*]"]
    return "\n".join(("```mermaid", "stateDiagram-v2", *lines, "```"))


def settings() -> str:
    """Every environment variable."""
    rows = []
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias or f"WAYBILL_{name.upper()}")
        rows.append((f"`{variable}`", _default(field), SETTINGS[name]))
    return _table(("variable", "default", "meaning"), rows)


def policy() -> str:
    """Every wait and every decision a shop may change."""
    rows = [(f"`{f.name}`", _shown(f.default), POLICY[f.name]) for f in fields(Policy)]
    return _table(("rule", "default", "meaning"), rows)


def attributes() -> str:
    """The search attributes of an order."""
    rows = [(name, kind, ATTRIBUTES[name]) for name, kind in SEARCH_ATTRIBUTES.items()]
    return _table(("name", "type", "value"), rows)


def views() -> str:
    """The saved views, each as a link that installs it."""
    rows = []
    for name, query in VIEWS.items():
        words = urlencode({"query": query, "savedQuery": name})
        link = f"{TEMPORAL_UI}/namespaces/{NAMESPACE}/workflows?{words}"
        rows.append((f"[{name}]({link})", f"`{query}`"))
    return _table(("view", "query"), rows)


def cases() -> str:
    """Every kind of case with who acts."""
    kinds = sorted(CaseKind, key=lambda kind: SEVERITY[kind])
    rows = [(f"[`{kind}`]({kind}.md)", str(SEVERITY[kind]), str(OWNER[kind])) for kind in kinds]
    return _table(("Attention", "severity", "who acts"), rows)


def event_kinds() -> str:
    """Every kind of event with what happened."""
    return _table(("kind", "what happened"), [(f"`{kind}`", MEANING[kind]) for kind in EventKind])


PARTS: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "contracts": contracts,
        "order-states": lambda: picture(order.NEXT),
        "shipment-states": lambda: picture(shipment.NEXT),
        "payment-states": lambda: picture(payment.NEXT),
        "operation-states": lambda: picture(payment.NEXT_OPERATION),
        "refund-states": lambda: picture(refund.NEXT),
        "reservation-states": lambda: picture(reservation.NEXT),
        "replenishment-states": lambda: picture(replenishment.NEXT),
        "count-states": lambda: picture(counts.NEXT),
        "settings": settings,
        "policy": policy,
        "search-attributes": attributes,
        "saved-views": views,
        "cases": cases,
        "event-kinds": event_kinds,
    }
)


def generated(page: str) -> str:
    """Return a page with every generated part as it should be now."""
    return PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}\n{part[3]}", page)


def pages() -> Iterator[Path]:
    """Yield every page of the documentation."""
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _default(field: Any) -> str:
    if field.repr is False:
        return "secret"
    value = field.get_default(call_default_factory=True)
    return f"`{value}`" if value not in ("", None) else ""


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if not isinstance(value, timedelta):
        return str(value)
    hours = value / timedelta(hours=1)
    if hours >= 72:
        return f"{hours / 24:g} days"
    return f"{hours:g} h" if hours >= 1 else f"{hours * 60:g} min"


def main() -> None:
    """Write every generated part into its page."""
    for page in pages():
        text = page.read_text()
        if (now := generated(text)) != text:
            page.write_text(now)
            print(f"wrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
