"""`webhook`: where the storefront's events go, and sending them again."""

from typing import Annotated

import typer

from fulfillment.domain.events import EventKind
from fulfillment.domain.webhooks import Endpoint
from starter.api.webhook_endpoints import EndpointOut
from starter.cli import reach
from starter.cli.terminal import ByOption, JsonOption, Out, answering, table

app = typer.Typer()
webhook = typer.Typer(no_args_is_help=True, help="Where the storefront's events go.")
app.add_typer(webhook, name="webhook")

EndpointArgument = Annotated[str, typer.Argument(metavar="ID", help="For example we_5f0c2a9b11d07e3c.")]
SinceOption = Annotated[
    int | None, typer.Option("--since", min=0, help="Everything later than this event, again.")
]


@webhook.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL")],
    by: ByOption,
    kinds: Annotated[
        list[EventKind] | None, typer.Option("--kind", help="Only this; all by default.")
    ] = None,
    since: SinceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send events somewhere; the secret that is printed is never shown again."""
    with answering(as_json=as_json) as out, reach.books() as books:
        made = books.webhooks.add(url, kinds or [], by=by, after=since)
        out.answer(_data(made), f"{made.endpoint_id} gets what happens from now on\nsecret {made.secret}")


@webhook.command("list")
def listed(as_json: JsonOption = False) -> None:
    """List the endpoints, with what they have yet to take."""
    with answering(as_json=as_json) as out, reach.books() as books:
        found = books.webhooks.endpoints()
        shown = table("Endpoint", "URL", "State", "Waiting", "Failing since", "Why", right=("Waiting",))
        for one in found:
            since = f"{one.failing_since:%Y-%m-%d %H:%M}" if one.failing_since else "-"
            shown.add_row(one.endpoint_id, one.url, str(one.state), str(one.waiting), since, one.why or "-")
        data = {"webhook_endpoints": [_data(one) for one in found]}
        out.answer(data, shown if found else "no endpoint yet; `webhook add URL` adds one")


@webhook.command()
def rotate(endpoint: EndpointArgument, by: ByOption, as_json: JsonOption = False) -> None:
    """Give an endpoint a new secret; for a day events are signed with both."""
    with answering(as_json=as_json) as out, reach.books() as books:
        made = books.webhooks.rotate(endpoint, by=by)
        out.answer(_data(made), f"secret {made.secret}")


@webhook.command()
def enable(
    endpoint: EndpointArgument, by: ByOption, since: SinceOption = None, as_json: JsonOption = False
) -> None:
    """Go on where an endpoint stopped, or from an earlier event on."""
    with answering(as_json=as_json) as out, reach.books() as books:
        _said(out, books.webhooks.enable(endpoint, by=by, after=since))


@webhook.command()
def remove(endpoint: EndpointArgument, by: ByOption, as_json: JsonOption = False) -> None:
    """Send nothing more to an endpoint."""
    with answering(as_json=as_json) as out, reach.books() as books:
        books.webhooks.remove(endpoint, by=by)
        out.answer({"removed": endpoint}, f"{endpoint} gets nothing more")


@webhook.command()
def events(
    after: Annotated[int, typer.Option(min=0, help="Only events later than this one.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: JsonOption = False,
) -> None:
    """Read the events themselves, in order."""
    with answering(as_json=as_json) as out, reach.books() as books:
        found = books.webhooks.events(after, limit)
        shown = table("Event", "Order", "Kind", "When", "What")
        for event in found:
            shown.add_row(str(event.seq), event.order_id, event.kind, f"{event.at:%d %b %H:%M}", event.text)
        out.answer({"events": [event.as_cloud_event(books.public_url) for event in found]}, shown)


def _said(out: Out, endpoint: Endpoint) -> None:
    out.answer(_data(endpoint), f"{endpoint.endpoint_id} goes on after event {endpoint.cursor}")


def _data(endpoint: Endpoint) -> dict[str, object]:
    return EndpointOut.of(endpoint).model_dump(mode="json")
