"""What was asked before, held against now: further attempts, earlier runs, reproduction, drift."""
