"""A digest of the code that a step runs, which is a parameter of each Snakemake rule.

The digest is taken from syntax trees. A changed statement makes steps run again; a comment, a docstring or a
reformatted line does not.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
UNCOUNTED = ("config", "machine", "fast_cpu")
"""Packages that compute no result, so imports of them are not followed.

Settings are in a step's job, which Snakemake compares as well. `machine` reads, writes and locks files.
`fast_cpu` is for released networks, which no step runs.
"""


@cache
def code_digest(*modules: str) -> str:
    """Twelve hexadecimal digits of the code of modules and of everything in eqssl that they import.

    Imports inside functions are followed too. Imports under `if TYPE_CHECKING` are followed only in packages,
    which declare their lazy imports there. The `__init__.py` of a package counts if a name is imported from
    it that is not one of its modules. Packages in `UNCOUNTED` are not followed, but a module of theirs that
    is named in `modules` counts. A module imported by a name in a string is not found: name it as well.

    Args:
        modules: full names, such as "eqssl.evaluation.features".

    Raises:
        ValueError: eqssl has no such module.
    """
    sources: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in sources:
            sources[module], imported = _read(module)
            waiting.extend(name for name in imported if not _is_uncounted(name))
    text = "\n".join(f"{module} {sources[module]}" for module in sorted(sources))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_uncounted(module: str) -> bool:
    return module.split(".")[1:2] in ([room] for room in UNCOUNTED)


@cache
def all_modules() -> tuple[str, ...]:
    """The full names of all modules of the package."""
    names = []
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = [PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts]
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return tuple(names)


def bytes_digest() -> str:
    """Twelve hexadecimal digits of the bytes of all modules: found at once, but a comment changes it."""
    whole = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        whole.update(f"{file.relative_to(PACKAGE)} ".encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:12]


def _file(module: str) -> Path | None:
    """The file of a module or package of eqssl; None if there is no such module."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if base != PACKAGE and file.is_file():
            return file
    return PACKAGE / "__init__.py" if base == PACKAGE and (PACKAGE / "__init__.py").is_file() else None


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """A module's code without comments and docstrings, and the modules of eqssl that it imports."""
    file = _file(module) if module.split(".")[0] == PACKAGE.name else None
    if file is None:
        raise ValueError(f"{module}: no such module in {PACKAGE.name}")
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    is_package = file.name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    return _dump(tree), tuple(sorted(set(_imports(tree, package, with_types=is_package))))


def _dump(node: object) -> str:
    """A syntax tree as text, without positions, docstrings and empty fields.

    `ast.dump` is not used: it writes the same code differently from one Python version to the next.
    """
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    inside = []
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == []:
            continue
        if name == "body" and isinstance(node, _WITH_DOCSTRING):
            value = _without_docstring(node)
        inside.append(f"{name}={_dump(value)}")
    none = "None" if isinstance(node, ast.Constant) and node.value is None else ""
    return f"{type(node).__name__}({none}{','.join(inside)})"


def _without_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> list[ast.stmt]:
    """The body of a module, class or function less its docstring and those of constants and attributes."""
    return [statement for statement in node.body if not _is_text(statement)]


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is nothing but a string."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _imports(node: ast.AST, package: str, with_types: bool) -> Iterator[str]:
    """The modules of eqssl that a syntax tree imports.

    Args:
        node: the tree.
        package: where relative imports start from.
        with_types: whether those under `if TYPE_CHECKING` count.
    """
    if isinstance(node, ast.expr):  # holds no statements: most of a tree need not be walked
        return
    if not with_types and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names if name.name.split(".")[0] == PACKAGE.name)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        source = ".".join([*above, *([node.module] if node.module else [])])
        if source.split(".")[0] == PACKAGE.name:
            for name in node.names:
                inner = f"{source}.{name.name}"
                yield inner if _file(inner) else source
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, package, with_types)
