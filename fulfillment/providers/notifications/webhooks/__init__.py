"""Webhooks to the storefront."""
