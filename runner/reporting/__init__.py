"""Rows -> numbers (stats), a page (html), runs in MLflow (tracking), comparisons.

Takes the folder of a run, or of several. Gives tables of statistics, one HTML page that needs no other file, and MLflow
runs under ids of their own. Never reads the ledger, never asks a provider, never changes a run's results.
"""
