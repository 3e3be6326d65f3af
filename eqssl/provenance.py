"""How a number came to be: versions, hardware, and a digest of the code that a step runs.

The digest is taken from syntax trees, so that a comment, a docstring or a reformatted line reruns nothing
and a changed statement does. It is a parameter of each Snakemake rule.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
LIBRARIES = ("eqssl", "torch", "escnn", "numpy", "scipy", "scikit-learn", "pyarrow", "webdataset")


def record() -> dict[str, Any]:
    """What a result was made with: versions, platform, processor, git commit and the digest of all code."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "commit": _commit(),
        "code": code_digest(*_all_modules()),
    }


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def code_digest(*modules: str) -> str:
    """Twelve hexadecimal digits of the code of modules and of everything in eqssl that they import.

    Imports are followed wherever they stand, also inside functions. Under `if TYPE_CHECKING` they are
    followed in packages only, which declare there what they import lazily. A module that a registry
    imports by a name held in a string is not followed: name it here too.
    A package counts when a name is imported from it that is none of its modules.

    Args:
        modules: full names, such as "eqssl.evaluation.features".

    Raises:
        ValueError: a module is not a part of eqssl.
    """
    sources: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in sources:
            sources[module], imported = _read(module)
            waiting.extend(imported)
    text = "\n".join(f"{module} {sources[module]}" for module in sorted(sources))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _processor() -> str:
    """Model name of the processor, with its family and model, as virtual machines shorten the name."""
    information = Path("/proc/cpuinfo")
    described = _first_processor(information.read_text("utf-8", "replace")) if information.exists() else None
    return described or platform.processor() or platform.machine()


def _first_processor(information: str) -> str | None:
    """Name, family and model from the first entry of /proc/cpuinfo; None where it has no name."""
    entry = information.partition("\n\n")[0].splitlines()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in entry)}
    name, family, model = (values.get(key) for key in ("model name", "cpu family", "model"))
    return f"{name} (family {family}, model {model})" if name and family and model else name


@cache
def _commit() -> str | None:
    """The commit of the working tree that this package lies in; None for an installed package."""
    if not (PACKAGE.parent / ".git").exists():
        return None
    command = ["git", "-C", str(PACKAGE.parent), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


@cache
def _all_modules() -> tuple[str, ...]:
    """Every module of the package by its full name."""
    names = []
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = [PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts]
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return tuple(names)


def _file(module: str) -> Path | None:
    """The file of a module or package of eqssl, None where there is no such module."""
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
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        body = _without_docstring(node)
        inside = (f"{name}={_dump(body if name == 'body' and body is not None else v)}" for name, v in fields)
        none = "None" if isinstance(node, ast.Constant) and node.value is None else ""
        return f"{type(node).__name__}({none}{','.join(inside)})"
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    return repr(node)


def _without_docstring(node: ast.AST) -> list[ast.stmt] | None:
    """The body of a module, class or function less its docstring; None for any other node."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body


def _imports(node: ast.AST, package: str, with_types: bool) -> Iterator[str]:
    """The modules of eqssl that a syntax tree imports.

    Args:
        node: the tree.
        package: where relative imports start from.
        with_types: whether those under `if TYPE_CHECKING` count.
    """
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
