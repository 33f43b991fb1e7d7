"""Trials -> answers, bought once: claims, live and batch side by side, rate limits, retry, Ctrl-C.

Takes trials whose keys the ledger lacks. Gives answers, each in the ledger before its request's place is free, and a
Failure for each trial that has none. Never reads a reply's scores, never asks for a key twice while another process or
a batch does, never raises for one request that went wrong.
"""
