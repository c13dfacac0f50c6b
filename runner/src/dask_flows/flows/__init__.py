"""Flows: find the user's program, check its parameters, call it.

``load`` imports it, ``bind`` checks the parameters, ``call`` runs a Python flow and ``run_command`` a
command. Every fault is a BadFlow or BadParameters that says what was found, where, and what to do.
"""

from dask_flows.flows.call import call
from dask_flows.flows.command import run_command
from dask_flows.flows.load import Flow, load
from dask_flows.flows.parameters import bind
from dask_flows.flows.source import unpack

__all__ = ["Flow", "bind", "call", "load", "run_command", "unpack"]
