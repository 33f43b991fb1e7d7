"""Answers -> rows -> a run's folder; and back: read again, verified, reproduced, imported, exported."""
