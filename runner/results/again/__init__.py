"""What was asked before, held against now: further attempts, earlier runs, reproduction, drift.

Takes a run's folder, or the trials of a launch, and the ledger. Gives what is the same, what has changed, and which
keys are to be asked once more. Never sends anything, and never changes the folder of an earlier run.
"""
