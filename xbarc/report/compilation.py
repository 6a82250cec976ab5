"""The result of a compilation: what was made, in short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xbarc.report.utilisation import REPORT_SCHEMA, UtilisationReport


@dataclass(frozen=True, slots=True)
class Compilation:
    """A program that was written to a file.

    Attributes:
        source: path of the model.
        program: path of what was written.
        report: where its tiles go.
    """

    source: str
    program: str
    report: UtilisationReport

    def to_json(self) -> dict[str, Any]:
        """Plain data: the paths, the number of layers, and what the report says of the whole program."""
        report = self.report.to_json()
        return {
            "schema": REPORT_SCHEMA,
            "source": self.source,
            "program": self.program,
            **{
                key: report[key] for key in ("hardware", "overrides", "calibrated", "calibration", "warnings", "totals")
            },
            "layers": len(self.report.layers),
            "host_operators": len(self.report.host),
        }
