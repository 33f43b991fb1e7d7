"""Trials -> answers, bought once: claims, live and batch side by side, rate limits, retry, Ctrl-C."""
