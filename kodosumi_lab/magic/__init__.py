"""``%kodosumi`` and ``%%kodosumi``: flows and runs from a line of a notebook.

``words`` takes a line apart, ``parser`` says what there is and makes the help, ``commands`` calls the
public API, ``complete`` completes, ``cells`` sends a cell's code, ``arriving`` shows what a run says
under its cell. Loaded by ``%load_ext kodosumi_lab`` only.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load", "unload"]


def load(shell: Any) -> None:
    """Register the magics and their completion with IPython; doing it again changes nothing."""
    from kodosumi_lab.magic.commands import KodosumiMagics
    from kodosumi_lab.magic.complete import install

    shell.register_magics(KodosumiMagics)
    install(shell)


def unload(shell: Any) -> None:
    """Take them back."""
    from kodosumi_lab.magic.complete import remove

    remove(shell)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("kodosumi", None)
