"""JupyterLab in another language: a language pack with our catalogue, as anybody may install one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from conftest import eventually

from browser.lab import INSTALLED, Gateway, Lab, serve_jupyter
from browser.showcase import Showcase
from browser.test_lab_extension import sidebar

CATALOGUE = {
    "": {"domain": "kodosumi_lab", "language": "de-DE", "plural_forms": "nplurals=2; plural=(n != 1);"},
    "Runs": ["Läufe"],
    "Filter runs": ["Läufe filtern"],
    "Failed": ["Gescheitert"],
    "Results": ["Ergebnisse"],
    "More actions": ["Weitere Aktionen"],
    "Copy id": ["Kennung kopieren"],
    "finished": ["fertig"],
    "complete · %1": ["vollständig · %1"],
    "%1 event": ["%1 Ereignis", "%1 Ereignisse"],
    "%1 question waiting": ["%1 Frage wartet", "%1 Fragen warten"],
    "Search runs": ["Läufe suchen"],
    "Started": ["Begonnen"],
    "Last hour": ["Letzte Stunde"],
}


def language_pack(folder: Path) -> Path:
    """A package that is on the path without being installed, with an entry point and a catalogue."""
    catalogues = folder / "pack_de" / "locale" / "de_DE" / "LC_MESSAGES"
    catalogues.mkdir(parents=True)
    (folder / "pack_de" / "__init__.py").touch()
    (catalogues / "kodosumi_lab.json").write_text(json.dumps(CATALOGUE))
    about = folder / "pack_de-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pack-de\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[jupyterlab.languagepack]\nde_DE = pack_de\n")
    return folder


def test_plugins_and_views_speak_the_persons_language(
    showcase: Showcase, gateway: Gateway, open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    theirs = "" if INSTALLED else os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(language_pack(tmp_path / "pack")), theirs]))
    env = {"KODOSUMI_LAB_LOG_DIR": str(showcase.root), "PYTHONPATH": path}
    settings = tmp_path / "settings" / "@jupyterlab" / "translation-extension" / "plugin.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"locale": "de_DE"}')
    with serve_jupyter(tmp_path, gateway_port=gateway.port, **env) as jupyter:
        lab = open_lab(jupyter)
        bar = sidebar(lab)
        bar.get_by_placeholder("Läufe filtern").wait_for()
        bar.get_by_text("2 Fragen warten").wait_for()
        bar.get_by_role("grid", name="Läufe").get_by_text(re.compile(r"^vor \d+ ")).first.wait_for()
        lab.execute("kodosumi:open-run", runId=showcase.rich)
        view = lab.page.locator(".kl-lab-run")
        view.get_by_role("tab", name="Ergebnisse").wait_for()
        view.get_by_text("fertig", exact=True).first.wait_for()
        view.get_by_text(re.compile(r"^vollständig · \d+ Ereignisse$")).wait_for()
        view.get_by_role("button", name="Weitere Aktionen").click()
        view.get_by_role("menuitem", name="Kennung kopieren").wait_for()
        view.get_by_role("menuitem", name="Copy Python").wait_for()  # has no translation
        lab.page.screenshot(path=str(tmp_path / "german.png"))
        lab.execute("kodosumi:open-runs")
        eventually(lambda: lab.page.evaluate("globalThis.jupyterapp.shell.currentWidget.title.label") == "Läufe")
        table = lab.page.get_by_role("table", name="Läufe")
        table.get_by_role("button", name="Begonnen").wait_for()
        lab.page.get_by_role("search", name="Läufe").get_by_role("combobox").first.select_option(label="Letzte Stunde")
