"""Templates into answers, with the headers every page of ours carries."""

import re
from pathlib import Path
from typing import Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fulfillment.domain.headline import clock_time, day

# Nothing from elsewhere, no inline script, no frame around us.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TOGETHER: Final = re.compile(r"\b[A-Z][a-z]{2} \d{1,2} [A-Z][a-z]{2}\b|\b\d{1,2}:\d\d [ap]m\b")
_templates: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def unbroken(text: str) -> str:
    """Return the text with its days and times of day kept on one line."""
    return _TOGETHER.sub(lambda found: found[0].replace(" ", "\u00a0"), text)


_templates.filters["unbroken"] = unbroken
_templates.filters["day"] = day
_templates.filters["clock"] = clock_time


def page(template: str, *, status: int = 200, policy: str = POLICY, **values: Any) -> HTMLResponse:
    """Return a page: never kept, never indexed, telling nobody where its reader came from."""
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(_templates.get_template(template).render(values), status, headers=headers)
