"""Persona Runner: ask many models, in the role of many personas, to read texts and score them.

The rooms, as the data flows; each imports only those below it, the last line first:

__main__    for `python -m runner`
cli         what is typed and what is shown
simulator   the providers' APIs on loopback, with faults
pipeline    the stages in order
reporting   rows -> numbers, a page, runs in MLflow, comparisons
results     answers -> rows -> a run's folder, and back
dispatch    trials -> answers, bought once: live and by batch
ledger      what was paid for: answers, batches, claims
score       reply -> scores, or why there are none
providers   a request in one provider's own words, and its answer back
plan        Experiment -> trials with keys, and what they would cost
config      YAML and overrides -> Experiment, with every check
errors      what is raised on purpose
fastjson    JSON by orjson
process     who a process is, and whether it still lives
records     the values between the stages
"""
