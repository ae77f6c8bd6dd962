"""Every error that Kodosumi Lab raises on purpose.

::

    KodosumiLabError
    ├── InputsError (ValueError)        inputs do not fit the flow's input model
    ├── FlowError (ValueError)          a flow is declared or named wrongly
    │   └── FlowNotFound (LookupError)  no flow of that name
    ├── SettingsError (ValueError)      a setting has a value that cannot be used
    ├── RunNotFound (LookupError)       no run of that id in the log
    ├── RunFailed                       the run ended without a result
    │   ├── RunCancelled                somebody cancelled it
    │   ├── RunTimeout (TimeoutError)   it was running for longer than timeout_s
    │   └── RunLost                     its process, node or cluster went away
    ├── RunClosed                       the run has ended or a newer attempt took over; nothing more is written
    ├── RunOpen                         the run has not ended, so it cannot be deleted
    ├── WaitTimeout (TimeoutError)      the wait ended, the run did not
    ├── LockClosed                      somebody answered first, or the lock expired
    ├── FileNameError (ValueError)      a file's name leads out of its run's files
    ├── FileTooLarge (ValueError)       a file, or a run's files together, would be over the limit
    ├── UploadError (ValueError)        an upload cannot go on like this: chunks are missing, or it is complete
    ├── UploadNotFound (LookupError)    no upload or batch of that id, or not any more
    ├── ClusterError (ConnectionError)  no Ray cluster, or not the one that owns the run
    ├── ServiceError (ConnectionError)  an agentic service does not answer, or not as one
    ├── LogError (OSError)              the event log cannot be read or written
    └── ApiError                        a gateway refused a request
        └── AccessDenied (PermissionError)  the token is missing, wrong, or not enough

Messages say what failed, which value, what was expected and what to do next. Every error
survives pickling, so it crosses Ray unchanged.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessDenied",
    "ApiError",
    "ClusterError",
    "DamagedFileWarning",
    "FileNameError",
    "FileTooLarge",
    "FlowError",
    "FlowNotFound",
    "InputsError",
    "KodosumiLabError",
    "LockClosed",
    "LogError",
    "RunCancelled",
    "RunClosed",
    "RunFailed",
    "RunLost",
    "RunNotFound",
    "RunOpen",
    "RunTimeout",
    "ServiceError",
    "SettingsError",
    "UploadError",
    "UploadNotFound",
    "WaitTimeout",
]


class KodosumiLabError(Exception):
    """Root of every error of this package."""


class InputsError(KodosumiLabError, ValueError):
    """Inputs do not fit: messages for each field, and for the whole.

    A service raises it with its own messages, or gathers them first:
    ``error = InputsError(); error.add(name="is taken"); if error: raise error``.

    Parameters
    ----------
    *messages
        About the inputs as a whole.
    **field_messages
        One message, or a list of them, by the name of its field.

    Attributes
    ----------
    errors : dict[str, list[str]]
        Messages by field; ``"_global_"`` holds those of :meth:`flash`.
    flow : str or None
        Name of the flow whose launch was refused, where it was one.
    """

    def __init__(self, /, *messages: str, **field_messages: str | list[str]) -> None:
        super().__init__(*messages)
        self.flow: str | None = None
        self.errors: dict[str, list[str]] = {}
        self.add(**field_messages)

    @classmethod
    def of(cls, errors: dict[str, list[str]], *, flow: str | None = None) -> InputsError:
        """Make one of messages by field, said to be of a flow's launch."""
        made = cls()
        made.flow, made.errors = flow, errors
        return made

    def add(self, /, **field_messages: str | list[str]) -> None:
        """Add a message, or a list of them, to each field named."""
        for name, found in field_messages.items():
            self.errors.setdefault(name, []).extend([found] if isinstance(found, str) else found)

    def flash(self, message: str) -> None:
        """Add a message about the inputs as a whole."""
        self.add(_global_=message)

    def has_errors(self) -> bool:
        """Whether any field has a message, or :meth:`flash` was called; positional messages do not count."""
        return bool(self.errors)

    def __bool__(self) -> bool:
        return self.has_errors()

    @property
    def messages(self) -> dict[str, list[str]]:
        """All messages by field, the positional ones among ``"_global_"``, which is always there."""
        found = {name: list(messages) for name, messages in self.errors.items()}
        found["_global_"] = [*found.get("_global_", []), *(str(message) for message in self.args)]
        return found

    def __str__(self) -> str:
        if self.flow is None and not self.errors:
            return "; ".join(str(message) for message in self.args)
        whose = "inputs do not fit" if self.flow is None else f"inputs of flow {self.flow!r} do not fit"
        head = f"{whose}, nothing was started:"
        found = {name: messages for name, messages in self.messages.items() if messages}
        return "\n".join([head, *(f"  {name}: {'; '.join(messages)}" for name, messages in found.items())])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {"flow": self.flow, "errors": self.errors}


class FlowError(KodosumiLabError, ValueError):
    """A flow is declared wrongly, or the name given leads to none."""


class FlowNotFound(FlowError, LookupError):
    """There is no flow of that name."""


class SettingsError(KodosumiLabError, ValueError):
    """A setting has a value that cannot be used."""


class RunNotFound(KodosumiLabError, LookupError):
    """The event log holds no run of that id."""


class RunFailed(KodosumiLabError):
    """The run ended without a result.

    Attributes
    ----------
    run_id : str
        The run.
    status : str
        ``error``, ``cancelled``, ``timeout`` or ``lost``.
    reason : str
        Why, in one line.
    traceback : str or None
        The flow's own traceback, where there is one.
    """

    def __init__(self, run_id: str, status: str, reason: str, traceback: str | None = None) -> None:
        self.run_id = run_id
        self.status = status
        self.reason = reason
        self.traceback = traceback
        super().__init__(run_id, status, reason, traceback)

    def __str__(self) -> str:
        head = f"run {self.run_id} ended as {self.status}: {self.reason}"
        return f"{head}\n\n{self.traceback}" if self.traceback else head

    def _render_traceback_(self) -> list[str]:
        # IPython shows these lines in place of the frames of this package: in a notebook
        # the traceback that matters is the flow's.
        return str(self).splitlines()


class RunCancelled(RunFailed):
    """Somebody cancelled the run."""


class RunTimeout(RunFailed, TimeoutError):
    """The run was running for longer than its flow's ``timeout_s``."""


class RunLost(RunFailed):
    """The run's process, node or cluster went away and no retry was left."""


class RunClosed(KodosumiLabError):
    """The run has ended, or a newer attempt has taken over; nothing more is written for it."""


class RunOpen(KodosumiLabError):
    """The run has not ended; what is deleted must have."""


class WaitTimeout(KodosumiLabError, TimeoutError):
    """The time given to a wait is over; the run itself goes on."""


class LockClosed(KodosumiLabError):
    """The lock is no longer open.

    Attributes
    ----------
    by : str or None
        Who answered it; None when it expired or its run ended.
    """

    def __init__(self, message: str, by: str | None = None) -> None:
        self.by = by
        super().__init__(message, by)

    def __str__(self) -> str:
        return str(self.args[0])


class FileNameError(KodosumiLabError, ValueError):
    """A file's name leads out of its run's files, or could not be kept as it is."""


class FileTooLarge(KodosumiLabError, ValueError):
    """A file, or all files of a run together, would be over the configured limit."""


class UploadError(KodosumiLabError, ValueError):
    """An upload cannot go on like this.

    Attributes
    ----------
    missing : dict[str, list[int]]
        Chunks that have not arrived, by file name; empty when it is something else.
    """

    def __init__(self, message: str, missing: dict[str, list[int]] | None = None) -> None:
        self.missing = missing or {}
        super().__init__(message, self.missing)

    def __str__(self) -> str:
        return str(self.args[0])


class UploadNotFound(KodosumiLabError, LookupError):
    """There is no upload or batch of that id: it was never begun, was cancelled, or has expired."""


class ClusterError(KodosumiLabError, ConnectionError):
    """There is no Ray cluster, or not the one that owns the run."""


class ServiceError(KodosumiLabError, ConnectionError):
    """An agentic service does not answer, or not as one.

    Attributes
    ----------
    url : str
        The address that was asked.
    reason : str
        What is wrong, in one line.
    status : int or None
        HTTP status of its answer, where it is an error.
    unsure : bool
        Whether it may have done what it was asked to, all the same.
    """

    def __init__(self, url: str, reason: str, *, status: int | None = None, unsure: bool = False) -> None:
        self.url = url
        self.reason = reason
        self.status = status
        self.unsure = unsure
        super().__init__(url, reason)

    def __str__(self) -> str:
        return f"service at {self.url}: {self.reason}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.url, self.reason), {"status": self.status, "unsure": self.unsure}


class LogError(KodosumiLabError, OSError):
    """The event log cannot be read or written."""


class ApiError(KodosumiLabError):
    """A gateway refused a request, for a reason that no other error of this package stands for.

    Attributes
    ----------
    status : int
        HTTP status.
    problem : dict
        The problem details (RFC 9457) that it answered with.
    """

    def __init__(self, message: str, status: int = 500, problem: dict[str, Any] | None = None) -> None:
        self.status = status
        self.problem = problem or {}
        super().__init__(message, status, self.problem)

    def __str__(self) -> str:
        return str(self.args[0])


class AccessDenied(ApiError, PermissionError):
    """The token is missing or wrong (401), or its role is not enough (403)."""

    def __str__(self) -> str:
        return str(self.args[0])


class DamagedFileWarning(UserWarning):
    """A file of the event log cannot be read; it was left out and the rest is served."""
