"""Experiment -> trials with keys, and what they would cost. Pure: sends nothing, opens nothing."""
