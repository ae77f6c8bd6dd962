"""The flow: an entrypoint, its input model and its options.

A flow is made where its code is written and imports nothing heavy: no Ray, no pydantic
until inputs are checked. ``launch`` and everything after it lives in
:mod:`kodosumi_lab.runtime.launch`.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import sys
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from kodosumi_lab.errors import FlowError

if TYPE_CHECKING:
    from kodosumi_lab.forms import InputModel, Inputs, Model
    from kodosumi_lab.runtime.run import Run
    from kodosumi_lab.runtime.sweep import Sweep
    from kodosumi_lab.widgets.form import FlowForm

__all__ = ["Flow", "Options", "entrypoint_of", "find", "flow", "is_crew", "is_graph", "load", "registered"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a flow says about itself and asks of the cluster.

    Attributes
    ----------
    summary, description, tags, author, version
        For people.
    num_cpus, num_gpus, resources
        What Ray reserves for the Runner. With any of them, or a `runtime_env`, each run
        gets a Runner of its own; otherwise it takes a warm one, which reserves nothing.
    runtime_env
        Ray's runtime environment.
    timeout_s
        Longest time in status ``running``, in seconds, without the time awaiting a
        person or a child run; per attempt.
    retries
        How often the run is tried again after an error or a lost Runner. Cancelling and
        `timeout_s` end it at once.
    fresh
        Always use a new process.
    """

    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    version: str = ""
    num_cpus: float | None = None
    num_gpus: float | None = None
    resources: dict[str, float] | None = None
    runtime_env: dict[str, Any] | None = None
    timeout_s: float | None = None
    retries: int = 0
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise FlowError(f"timeout_s is {self.timeout_s!r}; expected seconds above 0, or None")
        if not isinstance(self.retries, int) or self.retries < 0:
            raise FlowError(f"retries is {self.retries!r}; expected a whole number from 0")

    @property
    def own_runner(self) -> bool:
        """Whether a run needs a Runner made for it."""
        return self.fresh or any(
            value is not None for value in (self.num_cpus, self.num_gpus, self.resources, self.runtime_env)
        )


_OPTIONS = {f.name for f in dataclasses.fields(Options)}
# By when they were made: where the newest of a name is gone, the one before it is found again.
_flows: weakref.WeakValueDictionary[int, Flow] = weakref.WeakValueDictionary()
_made = itertools.count()


class Flow:
    """An automated process that can be launched; made by :func:`flow`.

    Calling it calls the function, here and now, as if it were not decorated.

    Attributes
    ----------
    name : str
        How people and the log call it.
    target : object
        The entrypoint: a function, a class or an object with ``kickoff_async``, a compiled graph.
    options : Options
        See there.
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str | None = None,
        options: Options | None = None,
        form: Model | None = None,
        listed: bool = True,
        module: str | None = None,
    ) -> None:
        # `module` is where an object was made a flow: unlike a function it does not tell
        carried = is_crew(target) or is_graph(target)
        if not callable(target) and not carried:
            raise FlowError(
                f"a {type(target).__name__} cannot be a flow; expected a function, a class or an object "
                "with kickoff_async, or a compiled LangGraph graph"
            )
        self.target = target
        called = getattr(target, "name" if is_graph(target) else "__name__", None)
        self.name = name or called or type(target).__name__
        doc = "" if carried else inspect.getdoc(target)
        options = options or Options()
        if not options.summary and doc:
            options = dataclasses.replace(options, summary=doc.partition("\n")[0])
        self.options = options
        self.__doc__ = doc
        self.__name__ = self.name
        self.__module__ = getattr(target, "__module__", "__main__") if _tells(target) else module or "__main__"
        self.__qualname__ = getattr(target, "__qualname__", self.name)
        if inspect.isroutine(target):
            self.__wrapped__ = target
        self._form = form
        self._model: InputModel | None = None
        if listed:  # else nobody finds it by its name, which may be another flow's
            _flows[next(_made)] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the target here and now."""
        return self.target(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Flow {self.name} {inspect.signature(self.entry)}>"

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_model": None}
        target = self.target
        if inspect.isfunction(target) and entrypoint_of(self) is None and _has_text_annotations(target):
            # With `from __future__ import annotations` they are text, and the names in it are
            # not among those that travel with a pickled function: types travel.
            target = _copy(target)
            target.__annotations__ = {**target.__annotations__, **self.inputs.hints}
            state["target"] = target
            if "__wrapped__" in state:
                state["__wrapped__"] = target
        return state

    @property
    def entry(self) -> Callable[..., Any]:
        """The callable that takes the inputs."""
        target = self.target
        if is_crew(target) or is_graph(target):
            return _kickoff
        return target  # type: ignore[no-any-return]

    @property
    def inputs(self) -> InputModel:
        """What the flow takes."""
        if self._model is None:
            from kodosumi_lab.forms import InputModel

            self._model = InputModel(self.name, self.entry, self._form)
        return self._model

    @property
    def elements(self) -> list[dict[str, Any]]:
        """The input form as dicts, which any front end draws; see :mod:`kodosumi_lab.forms`."""
        return self.inputs.form().get_model()

    def validate(self, **inputs: Any) -> Inputs:
        """Check inputs without starting anything.

        Raises
        ------
        InputsError
            They do not fit; the messages name each field.
        """
        return self.inputs.validate(inputs)

    def with_options(self, **options: Any) -> Flow:
        """The same flow with other options, see :class:`Options`."""
        _check_options(options)
        changed = Flow.__new__(Flow)
        changed.__dict__.update(self.__dict__)
        changed.options = dataclasses.replace(self.options, **_tuples(options))
        return changed

    def launch(self, **inputs: Any) -> Run:
        """Start a run.

        Parameters
        ----------
        **inputs
            By name, as the flow's signature says. Where the flow itself has no input called
            ``files``, that name gives files along: a path, several, or a mapping of names to
            paths, folders included. They are in the run's ``in/`` before it starts.

        Returns
        -------
        Run
            Handle of the run, which is in the log by now and survives this process
            where the cluster does.

        Raises
        ------
        InputsError
            The inputs do not fit; nothing was started.
        ClusterError
            No Ray cluster can be reached or started.
        """
        from kodosumi_lab.runtime.launch import launch

        return launch(self, inputs)

    def form(self, **initial: Any) -> FlowForm:
        """The input form as a widget: in a notebook the last line of a cell shows it.

        Parameters
        ----------
        **initial
            Inputs that it opens with, as for :meth:`launch`.

        Returns
        -------
        FlowForm
            An ipywidget. `controls["end"].value` is a trait that other widgets can link to, `values` all
            of them, `launch()` does what its button does, `run` is the last run that was launched from it.

        Raises
        ------
        InputsError
            There is no such input.
        """
        from kodosumi_lab.widgets.form import FlowForm

        return FlowForm(self, **initial)

    def sweep(self, *, max_concurrent: int = 4, zipped: bool = False, files: Any = None, **inputs: Any) -> Sweep:
        """Start a run for each combination of inputs.

        Parameters
        ----------
        max_concurrent
            How many go on at the same time; a thread of this process starts the next one when one has ended.
        zipped
            Take the lists side by side, in place of each value with each.
        files
            Given along to each run, see :meth:`launch`.
        **inputs
            By name, as the flow's signature says. A list (tuple, range, array, series) is what is swept
            over; anything else is the same for all. An input that is a list itself is given as a list of lists.

        Returns
        -------
        Sweep
            Handle of the runs, with one frame of what came out. Each run has the tag ``sweep:<id>``, so
            :func:`kodosumi_lab.sweep` finds it again.

        Raises
        ------
        InputsError
            Those of some combination do not fit; nothing was started.
        FlowError
            There is nothing to sweep over, or the flow cannot be sent to the cluster.
        ClusterError
            No Ray cluster can be reached or started.

        Examples
        --------
        >>> sweep = prime_gaps.sweep(end=[10**5, 10**6], tasks=[1, 4])  # doctest: +SKIP
        >>> sweep.wait().frame()  # doctest: +SKIP
        """
        from kodosumi_lab.runtime.sweep import start

        return start(self, inputs, max_concurrent=max_concurrent, zipped=zipped, files=files)


def _has_text_annotations(function: types.FunctionType) -> bool:
    return any(isinstance(hint, str) for hint in function.__annotations__.values())


def _copy(function: types.FunctionType) -> types.FunctionType:
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__dict__.update(function.__dict__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = dict(function.__annotations__)
    copy.__qualname__, copy.__module__, copy.__doc__ = function.__qualname__, function.__module__, function.__doc__
    return copy


def is_crew(target: Any) -> bool:
    """Whether it is a crew: has ``kickoff_async``, or is a class whose instances' ``crew()`` has."""
    return hasattr(target, "kickoff_async") or bool(getattr(target, "is_crew_class", False))


def is_graph(target: Any) -> bool:
    """Whether it is a graph that LangGraph has compiled."""
    return hasattr(target, "checkpointer") and hasattr(target, "astream") and not inspect.isclass(target)


async def _kickoff(inputs: dict[str, Any]) -> Any:
    raise NotImplementedError("stands for what takes its inputs as one dict")


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    tags = options.get("tags")
    return {**options, "tags": (tags,) if isinstance(tags, str) else tuple(tags)} if tags is not None else options


def _check_options(options: dict[str, Any]) -> None:
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise FlowError(f"unknown option {', '.join(unknown)}; a flow takes: {', '.join(sorted(_OPTIONS))}")


@overload
def flow(target: Callable[..., Any], /) -> Flow: ...
@overload
def flow(
    target: None = None, /, *, name: str | None = None, form: Model | None = None, **options: Any
) -> Callable[[Any], Flow]: ...
@overload
def flow(target: Any, /, *, name: str | None = None, form: Model | None = None, **options: Any) -> Flow: ...


def flow(target: Any = None, /, *, name: str | None = None, form: Model | None = None, **options: Any) -> Any:
    """Make a flow of a function, a class or an object.

    Parameters
    ----------
    target
        A function (sync, async, generator or async generator), a class or an object with
        ``kickoff_async(inputs=…)`` such as a CrewAI crew, or a compiled LangGraph graph, whose
        nodes become spans and whose interrupts become locks.
    name
        How people and the log call it; the function's name by default.
    form
        Form of explicit elements in place of the one that the signature suggests; the function takes
        ``inputs: dict``, or each element's value by its name.
    **options
        See :class:`Options`.

    Raises
    ------
    FlowError
        The target cannot be a flow, or an option is unknown.

    Examples
    --------
    >>> import kodosumi_lab as kl
    >>> @kl.flow(summary="Add two numbers", tags=["math"])
    ... def add(a: int, b: int = 1) -> int:
    ...     return a + b
    >>> add(2), add.validate(a=2).wire
    (3, {'a': 2, 'b': 1})
    """
    _check_options(options)
    made = Options(**_tuples(options))
    if target is not None:
        return Flow(target, name=name, options=made, form=form, module=_caller())
    return lambda target: Flow(target, name=name, options=made, form=form, module=_caller())


def _caller() -> str:
    """Name of the module that has called the function that calls this."""
    return str(sys._getframe(2).f_globals.get("__name__", "__main__"))


def _tells(target: Any) -> bool:
    """Whether an entrypoint knows its own name: functions and classes do, crews and graphs do not."""
    return hasattr(target, "__qualname__")


def registered() -> dict[str, Flow]:
    """Flows that exist in this process, by name; of several of one name the newest."""
    # a list first, at once: another thread may define a flow meanwhile
    there = [found for ref in _flows.valuerefs() if (found := ref()) is not None]
    return {found.name: found for found in sorted(there, key=lambda found: found.name)}


def entrypoint_of(target: Any) -> str | None:
    """Import path ``module:qualified.name`` that leads back to `target`, or None.

    None where nothing leads back: a notebook cell, a script's main module, a closure.
    """
    found = target.target if isinstance(target, Flow) else target
    if isinstance(target, Flow) and not _tells(found):
        return _name_in_module(target)
    module, qualname = getattr(found, "__module__", None), getattr(found, "__qualname__", "")
    loaded = sys.modules.get(module or "")
    if module in (None, "__main__", "__mp_main__") or "<" in qualname or not getattr(loaded, "__file__", None):
        return None
    here: Any = loaded
    for part in qualname.split("."):
        here = getattr(here, part, None)
    same = here is found or (isinstance(here, Flow) and here.target is found)
    return f"{module}:{qualname}" if same else None


def _name_in_module(flow: Flow) -> str | None:
    """Import path of a flow of an object, by the name that it, or the object, has in its module."""
    loaded = sys.modules.get(flow.__module__)
    if flow.__module__ in ("__main__", "__mp_main__") or not getattr(loaded, "__file__", None):
        return None
    names = {id(value): name for name, value in vars(loaded).items()}
    same = [value for value in vars(loaded).values() if isinstance(value, Flow) and value.target is flow.target]
    wanted = [flow, *([flow.target] if flow._form is None else []), *(one for one in same if one._form is flow._form)]
    name = next((names[id(value)] for value in wanted if id(value) in names), None)
    return f"{flow.__module__}:{name}" if name is not None else None


def find(entrypoint: str) -> Any:
    """The object at an import path; its module is imported.

    Parameters
    ----------
    entrypoint
        ``package.module:name`` or ``package.module.name``.

    Raises
    ------
    FlowError
        Nothing there. Errors of the module itself pass through.
    """
    module, colon, name = entrypoint.partition(":")
    if not colon:
        module, _, name = entrypoint.rpartition(".")
    if not module or not name:
        raise FlowError(f"{entrypoint!r} is no entrypoint; expected package.module:name")
    try:
        here: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            raise FlowError(f"no module {error.name!r} for entrypoint {entrypoint!r}; looked in {sys.path}") from error
        raise
    for part in name.split("."):
        if not hasattr(here, part):
            known = (
                [key for key, value in vars(here).items() if isinstance(value, Flow)]
                if hasattr(here, "__dict__")
                else []
            )
            listed = f"; it has the flows: {', '.join(known)}" if known else ""
            raise FlowError(f"module {module!r} has no {name!r}{listed}")
        here = getattr(here, part)
    return here


def load(entrypoint: str) -> Flow:
    """The flow at an import path, see :func:`find`.

    Raises
    ------
    FlowError
        Nothing there, or nothing that can be a flow. Errors of the module itself pass through.
    """
    here = find(entrypoint)
    if isinstance(here, Flow):
        return here
    module, _, name = entrypoint.rpartition(":" if ":" in entrypoint else ".")
    return Flow(here, name=name, module=module)
