"""What each sub-command does: parse, call the public API, give the object back."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from kodosumi_lab.errors import FlowError, FlowNotFound, KodosumiLabError, RunFailed
from kodosumi_lab.events import STATUSES
from kodosumi_lab.flow import Flow, load
from kodosumi_lab.magic import entered
from kodosumi_lab.magic.parser import COMMANDS, NAMES, Command, HelpShown, manual
from kodosumi_lab.magic.shown import Facts, Json, Text, plain
from kodosumi_lab.magic.words import Given, raw, split

__all__ = ["KodosumiMagics", "flow_named"]


def flow_named(shell: Any, name: str) -> Any:
    """A flow by a variable of the notebook, a name of the catalogue, or an import path."""
    from kodosumi_lab.runtime.register import find
    from kodosumi_lab.runtime.remote import RemoteFlow

    held = shell.user_ns.get(name)
    if isinstance(held, Flow | RemoteFlow):
        return held
    try:
        return find(name)
    except FlowNotFound:
        if ":" not in name:
            raise
        return load(name)


def _command(name: str, cell: bool) -> Command:
    command = NAMES.get(name)
    if command is None:
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}"
        raise UsageError(f"%kodosumi has no command {name!r}; {hint}")
    if command.cell is True and not cell:
        raise UsageError(f"{name} is for the code of a cell: begin it with %%kodosumi {name}")
    if command.cell is False and cell:
        raise UsageError(f"{name} is for a line: %kodosumi {name}")
    return command


@magics_class
class KodosumiMagics(Magics):
    """``%kodosumi`` and ``%%kodosumi``."""

    @no_var_expand
    @line_cell_magic
    def kodosumi(self, line: str, cell: str | None = None) -> Any:
        """Flows and runs from a line; the text is replaced by the manual below."""
        line = line.strip()
        silent = line.endswith(";")  # as at the end of any line of a cell
        line = line[:-1].rstrip() if silent else line
        name, rest = (*line.split(maxsplit=1), "", "")[:2]
        if not name or name in ("-h", "--help", "help"):
            print(manual())
            return None
        command = _command(name, cell is not None)
        try:
            found = self._called(command, rest, cell)
        except HelpShown:
            return None
        except RunFailed:
            raise  # it shows the flow's own traceback
        except KodosumiLabError as error:  # what the person did, or what is not there: no frames of ours
            raise UsageError(str(error)) from None
        return None if silent else found

    @property
    def _space(self) -> dict[str, Any]:
        """Variables of the notebook."""
        assert self.shell is not None
        space: dict[str, Any] = self.shell.user_ns
        return space

    def _called(self, command: Command, rest: str, cell: str | None) -> Any:
        line = raw(rest, command) if command.raw else split(rest, self._space)
        options = command.parser().parse_args(line.words)
        if line.inputs and not command.inputs:
            raise UsageError(f"{command.name} takes no inputs; {next(iter(line.inputs))}=… is one")
        verb: Callable[..., Any] = getattr(self, f"_{command.name}")
        found = verb(options, line.inputs) if command.cell is False else verb(options, line.inputs, cell)
        if found is None:
            return None
        self._assign(options, found)
        return None if options.no_display else Json(plain(found)) if options.json else found

    def _assign(self, options: Any, value: Any) -> None:
        if options.out:
            if not options.out.isidentifier():
                raise UsageError(f"-o {options.out!r} is no name of a variable")
            self._space[options.out] = value

    # -- flows ------------------------------------------------------------------------

    def _flows(self, options: Any, inputs: Any) -> Any:
        import kodosumi_lab as kl

        return kl.flows(" ".join(options.words) or None)

    def _launch(self, options: Any, inputs: dict[str, Given], cell: str | None = None) -> Any:
        flow = flow_named(self.shell, options.flow)
        given = {**entered.of_body(cell), **inputs}
        wants_run = options.defaults or options.block or options.out or options.json or options.no_display
        if not given and not wants_run and entered.has_inputs(flow):
            return flow.form()
        run = flow.launch(**entered.inputs_of(flow, given))
        self._assign(options, run)  # before somebody interrupts
        if options.block:
            self._arriving(run, say=False).wait()
        return run

    def _form(self, options: Any, inputs: dict[str, Given]) -> Any:
        flow = flow_named(self.shell, options.flow)
        return flow.form(**entered.nested(flow, {name: one.value for name, one in inputs.items()}))

    def _sweep(self, options: Any, inputs: dict[str, Given]) -> Any:
        flow = flow_named(self.shell, options.flow)
        if not isinstance(flow, Flow):
            raise FlowError(f"flow {flow.name!r} is behind an endpoint, which starts one run at a time")
        values = {name: one.value for name, one in inputs.items()}
        return flow.sweep(max_concurrent=options.max_concurrent, zipped=options.zipped, **values)

    # -- runs -------------------------------------------------------------------------

    def _run_of(self, word: str, log_dir: str | None = None) -> Any:
        """A run by a variable of the notebook, or by its id or the end of it."""
        import kodosumi_lab as kl

        held = self._space.get(word.removeprefix("$"))
        try:
            return held if isinstance(held, kl.Run) else kl.run(word, log_dir=log_dir)
        except ValueError as error:  # as long as an id, but none
            raise UsageError(str(error)) from None

    def _runs(self, options: Any, inputs: Any) -> Any:
        import polars as pl

        import kodosumi_lab as kl
        from kodosumi_lab.runtime.searching import mentions

        if options.view:
            asked = {"status": options.status, "flow": options.flow, "search": options.search}
            return kl.runs_view(log_dir=options.log_dir, **{name: value for name, value in asked.items() if value})
        frame = kl.runs(log_dir=options.log_dir)
        if options.status:
            frame = frame.filter(pl.col("status").is_in(options.status))
        if options.flow is not None:
            frame = frame.filter(pl.col("flow") == options.flow)
        if options.search is not None:
            frame = frame.filter(mentions(options.search))
        took = (pl.coalesce("ended", "updated") - pl.col("running")).dt.total_microseconds() / 1e6
        told = [pl.when(~pl.col(name).is_in(["", "null"])).then(name) for name in ("error", "reason", "result")]
        run = (
            pl.col("run_id").str.tail(8).alias("run")
        )  # by which other commands know it; a whole id is cut on the screen
        more = [took.alias("took_s"), "events", pl.coalesce(told).alias("remark"), "run_id"]
        columns = [run, "flow", "status", "progress", "started", *more]
        return frame.sort("run_id", descending=True).head(options.limit).select(columns).collect()

    def _show(self, options: Any, inputs: Any) -> Any:
        return self._run_of(options.run, options.log_dir)

    def _logs(self, options: Any, inputs: Any) -> Any:
        run = self._run_of(options.run, options.log_dir)
        if not options.follow:
            return Text(run.logs())
        from kodosumi_lab.runtime.run import console_text

        try:
            for event in run.follow():
                if event.kind in ("stdout", "stderr", "log", "debug"):
                    print(console_text(event.kind, event.payload), flush=True)
        except KeyboardInterrupt:
            pass  # following holds nobody, so leaving is no error
        return None

    def _events(self, options: Any, inputs: Any) -> Any:
        import polars as pl

        import kodosumi_lab as kl

        run = self._run_of(options.run, options.log_dir) if options.run else None
        frame = run.events() if run is not None else kl.events(log_dir=options.log_dir)
        if options.kind:
            frame = frame.filter(pl.col("kind").is_in(options.kind))
        if run is None:
            return frame
        return frame.filter(pl.col("seq") > options.after).sort("seq").collect()

    def _approve(self, options: Any, inputs: dict[str, Given]) -> Any:
        run = self._run_of(options.run)
        if inputs and options.value is not None:
            raise UsageError("an answer is one value, or name=value for each field of a form")
        answer: Any = {name: one.value for name, one in inputs.items()} if inputs else True
        if options.value is not None:
            try:
                answer = json.loads(options.value)
            except ValueError:
                answer = options.value
        try:
            run.answer(answer, lock=options.lock)
        except LookupError as error:  # no such lock, or several
            raise UsageError(str(error)) from None
        return run

    def _cancel(self, options: Any, inputs: Any) -> Any:
        runs = [self._run_of(word) for word in options.runs]
        for run in runs:
            run.cancel(grace_s=options.grace_s)
        return runs[0] if len(runs) == 1 else runs

    def _diff(self, options: Any, inputs: Any) -> Any:
        import kodosumi_lab as kl

        if len(options.runs) < 2:
            raise UsageError("diff compares two runs, or more")
        try:
            return kl.diff(*(self._run_of(word, options.log_dir) for word in options.runs))
        except ValueError as error:  # one of them twice
            raise UsageError(str(error)) from None

    # -- the log ----------------------------------------------------------------------

    def _inbox(self, options: Any, inputs: Any) -> Any:
        import kodosumi_lab as kl

        return kl.inbox(log_dir=options.log_dir) if options.view else kl.locks(log_dir=options.log_dir).collect()

    def _sql(self, options: Any, inputs: Any, cell: str | None = None) -> Any:
        import polars as pl

        import kodosumi_lab as kl

        query = "\n".join(part for part in (" ".join(options.query), cell) if part).strip().rstrip(";")
        if not query:
            raise UsageError("sql takes a query, such as: select flow, count(*) from runs group by flow")
        tables = {name: getattr(kl, name)(log_dir=options.log_dir) for name in ("runs", "events", "locks")}
        try:
            return pl.SQLContext(tables).execute(query, eager=True)
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"the query cannot be answered: {error}") from None

    # -- the cluster ------------------------------------------------------------------

    def _connect(self, options: Any, inputs: Any) -> Any:
        import kodosumi_lab as kl

        return kl.connect(options.address, log_dir=options.log_dir)

    def _status(self, options: Any, inputs: Any) -> Any:
        import kodosumi_lab as kl
        from kodosumi_lab.runtime import cluster
        from kodosumi_lab.runtime.run import event_log

        held = cluster.current()
        facts: dict[str, Any] = {"cluster": "not connected", "log": str(event_log().root)}
        if held is not None:
            facts["cluster"] = f"{held.how} Ray at {held.home.address}"
        counts = Counter(kl.runs().select("status").collect()["status"].to_list())
        facts |= {f"runs {status}": counts[status] for status in STATUSES if counts[status]}
        return Facts({**facts, "open locks": len(kl.locks().collect())})

    def _ui(self, options: Any, inputs: Any) -> Any:
        from kodosumi_lab.magic.ui import served
        from kodosumi_lab.runtime.run import event_log

        return served(event_log(options.log_dir).root)

    # -- a cell on the cluster --------------------------------------------------------

    def _run(self, options: Any, inputs: Any, cell: str | None = None) -> Any:
        from kodosumi_lab.magic.cells import flow_of
        from kodosumi_lab.runtime.launch import Origin, launch

        asked = {name: getattr(options, name) for name in ("num_cpus", "num_gpus", "timeout_s")}
        flow, about = flow_of(self.shell, cell or "", options.name, {k: v for k, v in asked.items() if v is not None})
        run = launch(flow, {}, Origin(about={"cell": about}))
        self._assign(options, run)  # before somebody interrupts
        arriving = self._arriving(run, say=not options.no_display)
        arriving.wait() if options.block else arriving.begin()
        return run if options.json else None  # what there is to be shown arrives by itself

    def _arriving(self, run: Any, *, say: bool) -> Any:
        from kodosumi_lab.magic.arriving import Arriving

        return Arriving(run, self.shell, say=say)


KodosumiMagics.kodosumi.__doc__ = manual()
