"""Names of the public package ``kodosumi``, where that package is not installed.

Services written for kodosumi 1.1 say ``from kodosumi.core import …``. :func:`install` puts an
import finder at the end of ``sys.meta_path``; being last, it is asked only for names that
nothing else provides, and it leads those of :data:`NAMES` to modules of this package.

The wheel carries this file a second time, as the top-level module ``_kodosumi_lab_alias``,
and a ``.pth`` file that calls :func:`install` at every interpreter start: so the names hold
in uvicorn, Ray Serve's replicas and a service's own Ray workers, before anything of ours is
imported. That is why nothing is imported here but what every interpreter has loaded already.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
else:
    ModuleSpec = type(sys.__spec__)

__all__ = ["NAMES", "AliasFinder", "install"]

#: Public name to the module that stands for it; packages have modules below them.
NAMES = {
    "kodosumi": "kodosumi_lab.compat",
    "kodosumi.config": "kodosumi_lab.compat.config",
    "kodosumi.const": "kodosumi_lab.compat.const",
    "kodosumi.core": "kodosumi_lab.compat.core",
    "kodosumi.dtypes": "kodosumi_lab.compat.dtypes",
    "kodosumi.error": "kodosumi_lab.compat.error",
    "kodosumi.helper": "kodosumi_lab.compat.helper",
    "kodosumi.response": "kodosumi_lab.response",
    "kodosumi.runner": "kodosumi_lab.compat",
    "kodosumi.runner.files": "kodosumi_lab.runtime.fs",
    "kodosumi.runner.main": "kodosumi_lab.compat.serve",
    "kodosumi.runner.tracer": "kodosumi_lab.compat.tracer",
    "kodosumi.serve": "kodosumi_lab.compat.serve",
    "kodosumi.service": "kodosumi_lab.compat",
    "kodosumi.service.inputs": "kodosumi_lab.compat",
    "kodosumi.service.inputs.errors": "kodosumi_lab.compat.error",
    "kodosumi.service.inputs.forms": "kodosumi_lab.forms",
}
_PACKAGES = frozenset(name.rpartition(".")[0] for name in NAMES) - {""}


class AliasFinder:
    """Finds ``kodosumi…`` where nothing before it on ``sys.meta_path`` does."""

    is_kodosumi_lab_alias = True

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Spec of a name of :data:`NAMES`; None for any other, and below a real ``kodosumi``."""
        if name not in NAMES:
            return None
        parent = sys.modules.get(name.rpartition(".")[0])
        if parent is not None and not hasattr(parent, "__kodosumi_lab__"):
            return None
        return ModuleSpec(name, self, origin=NAMES[name], is_package=name in _PACKAGES)  # type: ignore[arg-type]

    def create_module(self, spec: "ModuleSpec") -> None:
        """Leave making the module to Python."""

    def exec_module(self, module: "ModuleType") -> None:
        """Let the name lead to the module that stands for it."""
        from importlib import import_module

        name = module.__name__
        if name in _PACKAGES:
            # a module of its own with nothing on its path: the real package's path would make
            # Python load the modules below it a second time
            module.__kodosumi_lab__ = NAMES[name]  # type: ignore[attr-defined]
            if name == "kodosumi":
                module.__version__ = import_module(NAMES[name]).KODOSUMI_VERSION  # type: ignore[attr-defined]
            return
        sys.modules[name] = import_module(NAMES[name])


def install() -> None:
    """Put the finder at the end of ``sys.meta_path``, once."""
    if not any(hasattr(finder, "is_kodosumi_lab_alias") for finder in sys.meta_path):
        sys.meta_path.append(AliasFinder())
