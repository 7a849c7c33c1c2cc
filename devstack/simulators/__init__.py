"""The outside world on one laptop: payment, carrier and mail providers that speak their own wires."""
