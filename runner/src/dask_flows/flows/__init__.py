"""Flows: find them, check their parameters, call them, and let their modules travel."""
