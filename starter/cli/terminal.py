"""What every command shares: who asks, what is printed, and how a command ends."""

import getpass
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from enum import IntEnum
from typing import Annotated, Any, Final

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fulfillment.domain.errors import FulfillmentError, UnknownOrder
from fulfillment.settings import BadSettings
from starter.api.schemas import holds_card_number
from starter.orders import TemporalAway


class Exit(IntEnum):
    """How a command ends."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3


_NO_TABLE: Final = "42P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def login_name() -> str:
    """Return the name of whoever is logged in; empty where the computer knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def new_request_id() -> str:
    """Return a readable id for one wish of one person."""
    return f"r-{secrets.token_hex(4)}"


def _somebody(name: str) -> str:
    if not name.strip():
        raise typer.BadParameter("this computer knows no login name; say who you are with --by NAME")
    return name.strip()


def no_card_number(text: str) -> str:
    """Refuse a text that holds a card number: what is typed here is kept."""
    if holds_card_number(text):
        raise typer.BadParameter(
            "holds what looks like a card number; give the token of a saved payment method"
        )
    return text


OrderArgument = Annotated[
    str, typer.Argument(metavar="ORDER", help="The order's number, for example SO-10483.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
ByOption = Annotated[
    str,
    typer.Option(
        "--by",
        default_factory=login_name,
        callback=_somebody,
        help="Who asks; it stands in the audit trail.",
        show_default="login name",
    ),
]
RequestOption = Annotated[
    str,
    typer.Option(
        "--request-id",
        default_factory=new_request_id,
        help="The id of an earlier try: repeating with it does nothing twice.",
        show_default="a new one",
    ),
]


class Out:
    """Where a command's answer goes: tables for people, one JSON value for programs."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False)

    def answer(self, data: Any, *shown: RenderableType) -> None:
        """Print the answer: `data` as JSON, or what is `shown` to people."""
        if self.as_json:
            typer.echo(json.dumps(data, default=_plain, ensure_ascii=False, indent=2))
            return
        for part in shown:
            self.console.print(part, markup=False, soft_wrap=isinstance(part, str))

    def say(self, text: str) -> None:
        """Print a line for people; programs do not hear it."""
        if not self.as_json:
            self.console.print(text, markup=False, soft_wrap=True)

    def trouble(self, code: str, text: str) -> None:
        """Print why there is no answer."""
        if self.as_json:
            typer.echo(json.dumps({"error": code, "detail": text}, ensure_ascii=False, indent=2))
        else:
            Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def answering(*, as_json: bool = False) -> Iterator[Out]:
    """Run a command; every expected way it can fail becomes a sentence and an exit code."""
    out = Out(as_json=as_json)
    try:
        yield out
    except UnknownOrder as no:
        out.trouble(
            "not_found", f"refused: {no}; look for it with `find`, by order, e-mail or tracking number"
        )
        raise typer.Exit(Exit.REFUSED) from None
    except FulfillmentError as no:
        out.trouble(getattr(no, "code", "refused"), f"refused: {no}")
        raise typer.Exit(Exit.REFUSED) from None
    except BadSettings as missing:
        out.trouble("settings", f"{missing}; `config show` prints where every value comes from")
        raise typer.Exit(Exit.USAGE) from None
    except TemporalAway as away:
        out.trouble("unreachable", f"{away}")
        raise typer.Exit(Exit.UNREACHABLE) from None
    except (OperationalError, InterfaceError, PoolTimeout) as away:
        out.trouble("unreachable", f"the database does not answer: {_first_line(away)}")
        raise typer.Exit(Exit.UNREACHABLE) from None
    except ProgrammingError as wrong:
        if getattr(wrong.orig, "pgcode", "") != _NO_TABLE:
            raise
        out.trouble("schema", "the database has no tables of ours yet; run `db upgrade` first")
        raise typer.Exit(Exit.USAGE) from None


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Return an empty table that fits a narrow terminal; columns in `right` hold numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def short_day(day: date | None) -> str:
    """Return a day as people write it, for example `Fri 27 Nov`."""
    return f"{day:%a} {day.day} {day:%b}" if day else "-"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _first_line(error: Exception) -> str:
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
