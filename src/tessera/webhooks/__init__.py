"""Outbox rows become signed deliveries and attempts."""
