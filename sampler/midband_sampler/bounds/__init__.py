"""Bounds: what the completed tasks say of a candidate's score and rank."""

from midband_sampler.bounds.evidence import PairedEProcess

__all__ = ["PairedEProcess"]
