"""Flows that an image holds."""
