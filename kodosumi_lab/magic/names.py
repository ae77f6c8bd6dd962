"""Which names of the notebook a cell uses: those that it reads before it has assigned them itself.

Statements are taken in their order. What a branch or a loop's body assigns may not be assigned
afterwards, so a name that is read then may still be the notebook's. Functions are called later:
what they read is looked at last.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Names", "names_of"]


@dataclass
class Names:
    """Names that a cell uses.

    Attributes
    ----------
    needed
        Read, and assigned nowhere in the cell.
    perhaps
        Read where the cell may not have assigned them yet.
    chains
        Dotted names that are read, such as ``os.path.join``.
    """

    needed: set[str] = field(default_factory=set)
    perhaps: set[str] = field(default_factory=set)
    chains: set[str] = field(default_factory=set)


def names_of(tree: ast.Module) -> Names:
    """Names that a cell reads from outside of it."""
    walk = _Walk()
    assigned = walk.through(tree.body, frozenset())
    read = walk.read | (walk.later - assigned)
    chains = {chain for node in ast.walk(tree) if isinstance(node, ast.Attribute) and (chain := _chain(node))}
    return Names(read - walk.stored, read & walk.stored, chains)


def _chain(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        before = _chain(node.value)
        return before and f"{before}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _table(node: ast.AST) -> symtable.SymbolTable:
    body = node if isinstance(node, ast.stmt) else ast.Expr(node)  # type: ignore[arg-type]
    return symtable.symtable(ast.unparse(ast.Module([body], [])), "<cell>", "exec")


def _reads(node: ast.AST) -> set[str]:
    """Names that a statement or an expression reads itself."""
    augmented = {node.target.id} if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) else set()
    return {symbol.get_name() for symbol in _table(node).get_symbols() if symbol.is_referenced()} | augmented


def _reads_inside(node: ast.AST) -> set[str]:
    """Names of the module that its functions, classes and comprehensions read."""
    return {
        symbol.get_name()
        for table in _inner(_table(node))
        for symbol in table.get_symbols()
        if symbol.is_global() and symbol.is_referenced()
    }


def _inner(table: symtable.SymbolTable) -> Iterable[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inner(child)


def _stores(*nodes: ast.AST | None) -> set[str]:
    """Names that targets, patterns and simple statements assign."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.pattern):
            for inner in ast.walk(node):
                found |= {name for word in ("name", "rest") if isinstance(name := getattr(inner, word, None), str)}
        elif isinstance(node, ast.stmt):
            found |= {s.get_name() for s in _table(node).get_symbols() if s.is_assigned() or s.is_imported()}
        elif node is not None:
            found |= {
                inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            }
    return found


class _Walk:
    """Goes through statements; :meth:`through` answers what is certainly assigned behind them."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.later: set[str] = set()
        self.stored: set[str] = set()

    def _look(self, assigned: frozenset[str], *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.read |= (_reads(node) | _reads_inside(node)) - assigned

    def _assign(self, assigned: frozenset[str], names: set[str]) -> frozenset[str]:
        self.stored |= names
        return assigned | names

    def through(self, statements: list[ast.stmt], assigned: frozenset[str]) -> frozenset[str]:
        for statement in statements:
            assigned = self._one(statement, assigned)
        return assigned

    def _one(self, node: ast.stmt, assigned: frozenset[str]) -> frozenset[str]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.read |= _reads(node) - assigned  # decorators, defaults and annotations
                self.later |= _reads_inside(node)
                return self._assign(assigned, {node.name})
            case ast.If():
                self._look(assigned, node.test)
                return self.through(node.body, assigned) & self.through(node.orelse, assigned)
            case ast.While():
                self._look(assigned, node.test)
                self.through(node.body, assigned)
                self.through(node.orelse, assigned)
            case ast.For() | ast.AsyncFor():
                self._look(assigned, node.iter)
                self.through(node.body, self._assign(assigned, _stores(node.target)))
                self.through(node.orelse, assigned)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self._look(assigned, item.context_expr)
                    assigned = self._assign(assigned, _stores(item.optional_vars))
                return self.through(node.body, assigned)
            case ast.Try() | ast.TryStar():
                done = self.through([*node.body, *node.orelse], assigned)
                for handler in node.handlers:
                    self._look(assigned, handler.type)
                    own = {handler.name} if handler.name else set()
                    done &= self.through(handler.body, self._assign(assigned, own)) - own
                return self.through(node.finalbody, done)
            case ast.Match():
                self._look(assigned, node.subject)
                for case in node.cases:
                    inside = self._assign(assigned, _stores(case.pattern))
                    self._look(inside, case.guard)
                    self.through(case.body, inside)
            case _:
                self._look(assigned, node)
                return self._assign(assigned, _stores(node))
        return assigned
