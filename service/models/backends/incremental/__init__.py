"""Exact incremental occlusion: what an occluding window cannot have changed is taken from the clean image's pass.

`spans` knows where the change lies, `locality` what an operation does around a cell, `schedule` which operations run
on windows and what it costs, `cells` cuts and pastes, `run` runs a schedule, `occluded` is what the backend gives out.
"""
