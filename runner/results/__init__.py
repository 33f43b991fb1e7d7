"""Answers -> rows -> a run's folder; and back: read again, verified, reproduced, imported, exported.

Takes trials with their answers, or a run's folder. Gives results.jsonl (a row a trial, see records.Row), errors.jsonl,
replies as text files, summaries as CSV, run.json, experiment.json, sweep.json. Never sends anything; what it writes can
be made again from the ledger. ConfigError, with file and what to type, for a folder that is not what a run wrote.
"""
