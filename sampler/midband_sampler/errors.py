"""Errors of choosing and stopping."""

from midband_history import MidbandError


class PlanError(MidbandError, ValueError):
    """No honest plan can be made, or a plan does not fit what it is used on."""


class DigestMismatchError(PlanError):
    """The tasks found are not the tasks that the plan was made from."""
