"""The command line ``kodosumi-lab``: parse, call the public API, show.

``base`` holds the application, its exit codes and how errors are told; ``output`` how values
look in a terminal, in a pipe and as JSON. The commands are in ``launching`` (run), ``cataloguing``
(flows, register, unregister, refresh), ``reading`` (runs, show, logs, events), ``exporting``
(export), ``steering`` (cancel, answer, up, down), ``labs`` (lab), ``serving`` (serve, token), ``boarding`` (dashboard),
``deploying`` (deploy), ``importing`` (import) and ``doctor`` (doctor, version). Ray and Polars are
imported inside commands only, and commands that read never need Ray.
"""

from __future__ import annotations

# the order of the help
from kodosumi_lab.cli import launching, cataloguing, reading, exporting, steering, labs  # isort: skip
from kodosumi_lab.cli import serving, boarding, deploying, importing, doctor  # isort: skip
from kodosumi_lab.cli.base import EXIT_CODES, Exit, app

__all__ = [
    "EXIT_CODES",
    "Exit",
    "app",
    "boarding",
    "cataloguing",
    "deploying",
    "doctor",
    "exporting",
    "importing",
    "labs",
    "launching",
    "reading",
    "serving",
    "steering",
]
