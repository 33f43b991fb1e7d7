"""YAML and overrides -> Experiment, with every check; what LiteLLM's map fills in; texts and personas from files.

Takes a config that Hydra composed, and the files that it names. Gives a frozen Experiment, or a ConfigError with file,
key and what to type. Never sends anything, never reads a key, never changes or guesses what a user wrote; after it no
room sees a config object.
"""
