"""Rounds: a harness run batch by batch, until the session has decided."""

from midband.rounds._subset import check_attempts, fixed_order, named

__all__ = ["check_attempts", "fixed_order", "named"]
