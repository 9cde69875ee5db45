"""The harnesses and formats that midband reads and runs: a module or a folder an integration.

Each holds an `midband.adapters.base.Adapter` called ``ADAPTER``. It is found by standing here, so
that adding one touches no other file.
"""

from pkgutil import iter_modules

_SHARED = frozenset({"base", "files", "stated"})


def built_in() -> dict[str, str]:
    """Return where the integrations stand, by plugin name: the module's, with dashes."""
    return {
        each.name.replace("_", "-"): f"{__name__}.{each.name}:ADAPTER"
        for each in iter_modules(__path__)
        if each.name not in _SHARED
    }
