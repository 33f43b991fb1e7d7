"""Experiment -> trials with keys, and what they would cost. Pure: sends nothing, opens nothing.

Takes an Experiment. Gives its trials one at a time, each with the request fitted to its model and the key that finds
its answer again, and an estimate in requests, tokens, US dollars and seconds. Never holds all trials at once, and never
looks at the clock, the environment or the ledger: what is paid for is asked of a function that it is given.
"""
