"""Addresses of our own pages."""


def tracking_url(public_url: str, token: str) -> str:
    """Return the customer's link to their order."""
    return f"{public_url}/t/{token}"
