"""The argument parser: its complaints have three parts and one line, as all others."""

import argparse
import re
from typing import Any, NoReturn

from dask_flows.errors import UsageError

_OF_ARGUMENT = re.compile(r"argument (?P<where>[^:]+): (?P<found>.*)", re.DOTALL)
_INVALID = re.compile(r"invalid (?P<kind>\w+) value: (?P<value>.*)", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (?P<value>.*) \(choose from (?P<all>.*)\)", re.DOTALL)
_KINDS = {"int": "a whole number", "float": "a number"}
_AMBIGUOUS = "ambiguous option: "
_MISSING = "the following arguments are required: "
_UNKNOWN = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of ending the process, so that there is one way to complain."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is left over here: argparse would name the program instead of the command."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"{_UNKNOWN}{' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Raise the message in our words."""
        found, where = _told(message)
        raise UsageError(found, where=where or self.prog, do=f"see {self.prog} --help")


def _told(message: str) -> tuple[str, str]:
    """Return what was found, and where if an argument is to blame."""
    match = _OF_ARGUMENT.fullmatch(message)
    if match is not None:
        return _value(match["found"]), match["where"]
    if message.startswith(_UNKNOWN):
        words = message.removeprefix(_UNKNOWN)
        what = "there is no option" if words.startswith("-") else "nothing is expected like"
        return f"{what} {words}", ""
    if message.startswith(_MISSING):
        return f"{message.removeprefix(_MISSING)} is missing", ""
    return message.removeprefix(_AMBIGUOUS), ""


def _value(found: str) -> str:
    invalid = _INVALID.fullmatch(found)
    if invalid is not None:
        return f"{invalid['value']} is not {_KINDS.get(invalid['kind'], 'a ' + invalid['kind'])}"
    choice = _CHOICE.fullmatch(found)
    if choice is not None:
        return f"{choice['value']} is not one of {choice['all'].replace(chr(39), '')}"
    return "it has no value" if found == "expected one argument" else found
