"""The registry: finds the strategies and rules of a package by the files that lie in it."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar, cast

_Kind = TypeVar("_Kind")


def kinds_in(package: str, base: type[_Kind]) -> Iterator[type[_Kind]]:
    """Yield the named subclasses of `base` that the modules of a package define.

    A new strategy or rule is therefore one new file in its package, and nothing else.

    Parameters
    ----------
    package : str
        Its import path.
    base : type
        Its subclasses count if they state a ``name`` of their own.
    """
    folder = import_module(package).__path__
    for module in sorted(iter_modules(folder), key=lambda each: each.name):
        found = import_module(f"{package}.{module.name}")
        for _, kind in sorted(inspect.getmembers(found, inspect.isclass)):
            own = kind.__module__ == found.__name__ and issubclass(kind, base)
            if own and vars(kind).get("name"):
                yield cast("type[_Kind]", kind)
