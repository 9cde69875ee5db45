"""The registry: finds the strategies and rules of a package by the files that lie in it."""

import inspect
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

_Kind = TypeVar("_Kind")


def kinds_in(package: str, base: type[_Kind]) -> list[type[_Kind]]:
    """Return the named subclasses of `base` that the modules of a package define, by name.

    A new strategy or rule is therefore one new file in its package, and nothing else.

    Parameters
    ----------
    package : str
        Its import path.
    base : type
        Its subclasses count if they state a ``name`` of their own.
    """
    found = {}
    for module in iter_modules(import_module(package).__path__):
        for kind in vars(import_module(f"{package}.{module.name}")).values():
            own = inspect.isclass(kind) and kind.__module__.startswith(f"{package}.")
            if own and issubclass(kind, base) and vars(kind).get("name"):
                found[str(vars(kind)["name"])] = kind
    return [found[name] for name in sorted(found)]
