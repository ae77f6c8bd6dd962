"""The input form of a flow, in a notebook: ``flow.form()``.

It is made of ipywidgets' own controls, so each value is a trait that other widgets can link to.
What is entered is checked as one types, by what checks a launch (:meth:`InputModel.from_form`), and
the messages stand under their fields. Without a front end it works the same, from Python.
"""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import traitlets

from kodosumi_lab.errors import InputsError, KodosumiLabError
from kodosumi_lab.events import dumps
from kodosumi_lab.flow import Flow
from kodosumi_lab.forms import SECRET, Model
from kodosumi_lab.forms.filling import filled
from kodosumi_lab.runtime.run import Run, event_log
from kodosumi_lab.runtime.uploads import Uploads
from kodosumi_lab.widgets import code
from kodosumi_lab.widgets.controls import STYLE, Field, drawn, muted
from kodosumi_lab.widgets.entered import check_names, no_element, same, secret_of, sent, walk
from kodosumi_lab.widgets.files import FileField
from kodosumi_lab.widgets.memory import Memory
from kodosumi_lab.widgets.views import RunView

if TYPE_CHECKING:
    from kodosumi_lab.runtime.remote import ForeignRun, RemoteFlow

__all__ = ["FlowForm"]

_WIDE = {"width": "auto"}
_NOT_LOCAL = "is a file of this machine, which a flow behind an endpoint cannot be given from here: drop it on the form"
_NOT_SENT = "is not sent yet; wait until it is, or press Launch, which waits"


class FlowForm(widgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """The form of a flow, to be shown and launched from; made by :meth:`Flow.form`.

    Parameters
    ----------
    flow
        Whose inputs are entered.
    **initial
        Inputs that it opens with, as for :meth:`Flow.launch`.

    Attributes
    ----------
    flow : Flow or RemoteFlow
        The flow.
    controls : dict
        ipywidgets by the name of their element; each has a trait ``value``.
    values : dict
        Trait: what is entered, by the name of its element, in the types of the controls (dates as ISO text). It
        changes with the controls, and they with it. Secrets are not in it.
    errors : dict
        Trait: messages by name; empty when it can be launched.
    run : Run or None
        Trait: the last run that was launched from here.

    Raises
    ------
    InputsError
        The form has no such element.
    """

    values = traitlets.Dict()
    errors = traitlets.Dict()
    run = traitlets.Any(None)

    def __init__(self, flow: Flow | RemoteFlow, **initial: Any) -> None:
        self.flow = flow
        self._model = flow.inputs if isinstance(flow, Flow) else None
        pristine = [dict(element) for element in flow.elements]
        check_names(flow.name, pristine, initial)
        self._defaults = Model.model_validate(pristine)
        files = {name for name, one in self._defaults.fields.items() if one.type == "file"}  # chosen, not filled in
        plain = {name: value for name, value in initial.items() if name not in files}
        self.elements = filled(pristine, json.loads(dumps(plain))) if plain else pristine
        self._touched: set[str] = set()
        self._all_told = False
        self._busy = False
        model = self._model
        clearable, paths = (model.nullable(), model.paths()) if model is not None else (frozenset(), frozenset())
        log_dir = getattr(flow, "log_dir", None)
        parts = list(drawn(self.elements, clearable, self._pressed, paths=paths, log_dir=log_dir))
        self._fields = {one.name: one for field in parts if isinstance(field, Field) for one in walk(field)}
        self.controls = {name: field.control for name, field in self._fields.items()}
        self._pressed_action: dict[str, Any] = {}
        self._head = widgets.HTML(layout=_WIDE)
        self._global = widgets.HTML(layout={**_WIDE, "display": "none"})
        self._below = widgets.VBox(layout={**_WIDE, "margin": "8px 0 0 0"})
        self._code = code.Snippets(layout={**_WIDE, "display": "none"})
        shown = [part.box if isinstance(part, Field) else part for part in parts]
        self._head.value = STYLE + _title(flow)
        self._memory = Memory(self)
        super().__init__([self._head, *shown, self._global, self._buttons(), self._code, self._memory, self._below])
        self.add_class("kl-flow-form")
        for name, field in self._fields.items():
            field.control.observe(lambda _, name=name: self._changed(name), "value")
        self._files = [field.control for field in self._fields.values() if isinstance(field.control, FileField)]
        self._launch_when_sent = False
        for control in self._files:
            control.upload.observe(self._arrived, "settled")
            control.upload.observe(lambda _: self._take(), "failed")
        self._fill(self.elements, initial)
        self.observe(self._assigned, "values")

    # -- values -----------------------------------------------------------------------

    def _fill(self, elements: list[dict[str, Any]], secrets: dict[str, Any] | None = None) -> None:
        """Show what the elements say; secrets that were given from Python are entered."""
        given = Model.model_validate(elements).initial()
        with self._quiet():
            for name, field in self._fields.items():
                field.write(given.get(name))
                if field.element.get("type") == "password" and secrets:
                    field.write(secret_of(secrets, name))
                elif isinstance(field.control, FileField) and secrets and secrets.get(name):
                    self._give_files(name, secrets[name])
        self._take()

    def _give_files(self, name: str, given: Any) -> None:
        control, paths = self._fields[name].control, given if isinstance(given, list | tuple) else [given]
        if all(isinstance(path, str | Path) for path in paths):
            control.put([str(path) for path in paths] if len(paths) > 1 else str(paths[0]))
        if not control.value:
            raise InputsError.of({name: [f"expected {control.expected}, not {given!r}"]}, flow=self.flow.name)
        if control.local and len(control.local) < len(paths):
            raise InputsError.of({name: [f"two of {given!r} have one name; rename one"]}, flow=self.flow.name)

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Many changes, one look at the whole afterwards."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _changed(self, name: str) -> None:
        if not self._busy:
            self._touched.add(name)
            control = self._fields[name].control
            if isinstance(control, FileField) and not control.value:
                self._stay()  # somebody has thought better of it
            self._take()

    def _take(self) -> None:
        with self._quiet():
            self.values = {name: value for name, value in self._entered().items() if not self._is_secret(name)}
            self.errors = self.check()
            self._tell()

    @traitlets.validate("values")
    def _completed(self, proposal: Any) -> dict[str, Any]:
        """What is assigned, with what is entered elsewhere."""
        unknown = [name for name in proposal["value"] if name not in self._fields]
        if unknown:
            raise InputsError.of({name: [no_element(self._fields)] for name in unknown}, flow=self.flow.name)
        return {**self.values, **proposal["value"]}

    def _assigned(self, change: Any) -> None:
        if self._busy:
            return
        with self._quiet():
            for name, value in change["new"].items():
                if value != change["old"].get(name):
                    self._fields[name].write(value)
                    self._touched.add(name)
        self._take()

    def _entered(self) -> dict[str, Any]:
        """Form values, secrets included."""
        found = {name: field.read() for name, field in self._fields.items() if field.element.get("type") != "group"}
        switches = {
            name: field.read()
            for name, field in self._fields.items()
            if field.element.get("type") == "group" and field.element.get("optional")
        }
        return {**found, **switches, **self._pressed_action}

    def _is_secret(self, name: str) -> bool:
        return name in self._defaults.secrets

    # -- checking ---------------------------------------------------------------------

    def check(self) -> dict[str, list[str]]:
        """What is wrong with what is entered, by element; empty when it can be launched. Nothing is started."""
        failed = _of_files(self._asked_files())
        values = self._entered()
        if self._model is None:
            return {**self._defaults.check(sent(values)), **failed}
        try:
            self._model.from_form(values)
        except InputsError as error:
            return {**error.errors, **failed}
        return failed

    def _tell(self) -> None:
        """Show messages under the fields that were changed, or under all when a launch was tried."""
        left = dict(self.errors)
        for name, field in self._fields.items():
            messages = left.pop(name, [])
            field.tell(messages if self._all_told or name in self._touched else [])
            if messages and self._all_told and isinstance(field.control, widgets.Accordion):
                field.control.selected_index = 0
        self.say(*(text for messages in left.values() for text in messages) if self._all_told else ())

    def say(self, *messages: str, mark: str = "⚠") -> None:
        """Show messages above the buttons, in place of those that were there."""
        lines = "".join(f"<div>{mark} {html.escape(text)}</div>" for text in messages)
        self._global.value = f'<div role="alert" style="white-space:pre-wrap">{lines}</div>' if lines else ""
        self._global.layout.display = None if lines else "none"

    # -- launching --------------------------------------------------------------------

    def launch(self) -> Run | ForeignRun:
        """Start a run with what is entered; its view is shown below.

        Raises
        ------
        InputsError
            It does not fit; the messages stand under the fields, and nothing was started.
        KodosumiLabError
            No cluster, or no service, can be reached.
        """
        self._all_told = True
        try:
            run = self._launched(self._entered())
        except InputsError as error:
            self.errors = dict(error.messages)
            self._tell()
            raise
        except KodosumiLabError as error:
            self.say(str(error))
            raise
        finally:
            self._pressed_action = {}
        self._all_told, self._touched = False, set()
        for control in self._files:
            control.taken()
        self._take()
        self.run = run
        before, self._below.children = self._below.children, [_view(run)]
        for view in before:
            view.close()
        return run

    def _launched(self, values: dict[str, Any]) -> Run | ForeignRun:
        absent = {name: [_NOT_SENT] for name, control in self._asked_files().items() if not control.ready}
        if absent:
            raise InputsError.of(absent, flow=self.flow.name)
        if not isinstance(self.flow, Flow):
            errors = self.check()
            errors |= {name: [_NOT_LOCAL] for name, control in self._asked_files().items() if control.local}
            if errors:
                raise InputsError.of(errors, flow=self.flow.name)
            return self.flow.submit(sent(values))
        from kodosumi_lab.runtime.launch import launch

        checked = self.flow.inputs.from_form(values)
        batches = list(dict.fromkeys(self.flow.inputs.form().uploads(values).values()))
        local = {name: path for control in self._files for name, path in control.local.items()}
        try:
            return launch(self.flow, checked, files=local or None, batches=batches)
        except KodosumiLabError:
            desk = Uploads(event_log().root)
            for control in self._files:  # what was given to a run that did not start is used up
                with contextlib.suppress(KodosumiLabError):
                    if control.batch is not None and desk.is_complete(control.batch):
                        control.taken()
            raise

    def _pressed(self, element: dict[str, Any]) -> None:
        self._pressed_action = {element["name"]: element.get("value")} if element.get("name") else {}
        self._launch_pressed()

    def _launch_pressed(self, _: Any = None) -> None:
        """What the button does: a callback has nobody to raise to, so what is wrong is told in the form."""
        self._launcher.disabled = True
        self._launch_when_sent = bool(self._unsent())
        if self._launch_when_sent:
            self.say("sending files …", mark="●")
            for control in self._unsent():
                control.send()
            return
        self.say("launching …", mark="●")
        try:
            self.launch()
        except KodosumiLabError:
            pass  # told where it belongs
        except Exception as error:  # noqa: BLE001 - edge of a callback: a person looks here, not into the kernel's log
            self.say(f"{type(error).__name__}: {error}")
        else:
            self._memory.look()
        finally:
            self._launcher.disabled = False

    def _asked_files(self) -> dict[str, FileField]:
        """File fields by name, but for those in groups that are switched off."""
        off = self._defaults.switched_off(self._entered())
        return {
            name: field.control
            for name, field in self._fields.items()
            if isinstance(field.control, FileField) and name not in off
        }

    def _unsent(self) -> list[FileField]:
        return [control for control in self._asked_files().values() if not control.ready]

    def _arrived(self, _: Any) -> None:
        """Sending has ended, well or not: go on with the launch that waits for all of it."""
        self._take()
        if not self._launch_when_sent or not all(control.is_settled for control in self._files):
            return
        self._stay()
        if not self._unsent():
            self._launch_pressed()
            return
        self._all_told = True
        self._tell()
        if not self.errors:  # nobody has the files, and nothing says so
            self.say(f"a file {_NOT_SENT}")

    def _stay(self) -> None:
        """No launch waits for files any more."""
        if self._launch_when_sent:
            self._launch_when_sent, self._launcher.disabled = False, False
            self.say()

    def reset(self) -> None:
        """Show what the form opened with."""
        self._stay()
        self._touched, self._all_told = set(), False
        self._fill(self.elements)
        self.say()

    # -- as code ----------------------------------------------------------------------

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs that differ from the flow's defaults, as ``launch`` takes them; secrets are ``{"secret": true}``.

        Raises
        ------
        InputsError
            What is entered does not fit.
        """
        values, pristine = self._entered(), self._defaults.initial()
        changed = {name.partition(".")[0] for name, value in values.items() if not same(value, pristine.get(name))}
        if self._model is None:
            return {
                name: SECRET if self._is_secret(name) else value
                for name, value in values.items()
                if name in changed and "." not in name
            }
        wire = self._model.from_form(values).wire
        return {name: value for name, value in wire.items() if name in changed or name not in self._fields}

    def code(self, language: str = "python") -> str:
        """Code that launches with what is entered; secrets are asked for.

        Parameters
        ----------
        language
            ``magic``, ``python`` or ``curl``.
        """
        written = {"magic": code.magic, "python": code.python, "curl": code.curl}
        if language not in written:
            raise ValueError(f"there is no code in {language!r}; there is: {', '.join(written)}")
        return written[language](self.flow, self.inputs, self._paths())

    def _paths(self) -> list[str]:
        """Paths of the files that are entered; of those that were sent only the names are known."""
        controls = self._asked_files().values()
        return [str(control.local.get(name, name)) for control in controls for name in control.names]

    def _toggle_code(self, _: Any = None) -> None:
        hidden = self._code.layout.display == "none"
        self._code.layout.display = None if hidden else "none"
        if hidden:
            self._show_code()

    def _show_code(self) -> None:
        try:
            self._code.texts = code.snippets(self.flow, self.inputs, self._paths())
        except InputsError as error:
            self._all_told = True
            self.errors = dict(error.errors)
            self._tell()
            self._code.layout.display = "none"

    # -- buttons, recent inputs and presets ---------------------------------------------

    def _buttons(self) -> Any:
        submit = next((element for element in self.elements if element.get("type") == "submit"), {})
        self._launcher = widgets.Button(description=str(submit.get("text") or "Launch"), button_style="primary")
        reset = widgets.Button(description="Reset")
        as_code = widgets.Button(description="Copy as code", tooltip="as a magic, Python or curl")
        self._launcher.on_click(self._launch_pressed)
        reset.on_click(lambda _: self.reset())
        as_code.on_click(self._toggle_code)
        return widgets.HBox([self._launcher, reset, as_code], layout={"flex_flow": "row wrap"})

    @property
    def presets(self) -> dict[str, dict[str, Any]]:
        """Form values by the name of their preset."""
        return self._memory.presets.load()

    def save_preset(self, name: str) -> None:
        """Keep what is entered under a name, for all who use this log; secrets and files are left out."""
        if not name.strip():
            raise ValueError("a preset needs a name")
        self._memory.presets.save(name.strip(), self.values, self.elements)
        self._memory.look()

    def remove_preset(self, name: str) -> None:
        """Forget a preset."""
        self._memory.presets.remove(name.strip())
        self._memory.look()

    def load_preset(self, name: str) -> None:
        """Enter what is kept under a name; secrets stay as they are."""
        presets = self.presets
        if name not in presets:
            raise ValueError(f"flow {self.flow.name!r} has no preset {name!r}; it has: {', '.join(presets) or 'none'}")
        self.values = {key: value for key, value in presets[name].items() if key in self._fields}

    def fill_from(self, run: Run) -> None:
        """Enter the inputs that a run had; secrets have to be entered again."""
        self._touched, self._all_told = set(), False
        self._fill(filled([dict(element) for element in self.flow.elements], run.inputs))

    # -- showing it -------------------------------------------------------------------

    def __repr__(self) -> str:
        state = f"{len(self.errors)} to be entered" if self.errors else "ready"
        return f"<FlowForm {self.flow.name}: {', '.join(self._fields) or 'no inputs'}; {state}>"


# -- pieces -------------------------------------------------------------------------------


def _of_files(controls: dict[str, FileField]) -> dict[str, list[str]]:
    """What is wrong with files: they could not be sent, or two of them would have one name."""
    told: dict[str, list[str]] = {}
    taken: dict[str, str] = {}
    for name, control in controls.items():
        if control.problem:
            told[name] = [control.problem]
        twice = [file for file in control.names if taken.setdefault(file, name) != name]
        if twice:
            told[name] = [*told.get(name, []), f"two files would be in/{twice[0]}; rename one of them"]
    return told


def _title(flow: Any) -> str:
    summary = flow.options.summary if isinstance(flow, Flow) else flow.summary
    head = f"<b>{html.escape(flow.name)}</b>"
    return f"{head} {muted(summary)}" if summary else head


def _view(run: Any) -> Any:
    """The live view of a run; of one whose events are elsewhere, what is known of it."""
    return RunView(run) if isinstance(run, Run) else widgets.HTML(html.escape(repr(run)), layout=_WIDE)
