"""The programs of this folder, and what their output must say."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Program:
    """One program: texts that its output has, and the fewest tasks that it can be."""

    name: str
    says: tuple[str, ...]
    tasks: int

    @property
    def folder(self) -> Path:
        """Where it is."""
        return FOLDER / self.name

    @property
    def files(self) -> dict[str, str]:
        """Its files by name."""
        return {path.name: path.read_text() for path in sorted(self.folder.glob("*.py"))}

    @property
    def flow(self) -> str | None:
        """Its function as a flow; None if it is a script, to be run as a command."""
        return "program.py:main" if "\ndef main(" in self.files["program.py"] else None


PROGRAMS = {
    program.name: program
    for program in (
        Program("01-word-count", ("(b'by', 24440), (b'is', 24213)",), 24),
        Program("02-parameter-server", ("\n0.99",), 1),
        Program("03-fib-get-client", ("\n55\n",), 11),
        Program("04-fib-worker-client", ("\n55\n",), 11),
        Program("05-fib-delayed", ("\n55\n",), 177),
        Program("06-async-client", ("\n11\n",), 2),
        Program("07-dashboard-progress", ("\n35\n",), 16),
        Program("08-as-completed", ("\n2\n", "\n3\n", "\n4\n"), 3),
        Program(
            "09-coordination",
            ("(1000, 'ccc.txt')", "\nFalse\n", "\n6.0\n", "['A.TXT', 'BB.TXT', 'CCC.TXT']"),
            26,  # it does not wait for the three that it fires and forgets
        ),
        Program("10-publish", ("['again', 'negative_accounts']", "rows 2931 most -"), 10),
        Program(
            "11-ten-minutes",
            ('"mean": 1199.5', '"cumsum": 161963', '"odd": [1, 3, 5, 1]', '"delayed": 5'),
            100,
        ),
        Program(
            "12-groupby-and-joins",
            ('"means": {"a": 0.666', '"extents": {"a": 2, "b": 4}', '"rows": 25920'),
            50,
        ),
        Program("13-custom-collection", ('"computed": [0, 1, 2, 3, 4]',), 5),
        Program("14-arrays", ('"values": 20', '"derived": [1, 0, 1, 1, 0, 0, -1, -1, 0]'), 150),
    )
}
