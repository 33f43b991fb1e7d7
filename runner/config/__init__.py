"""YAML and overrides -> Experiment, with every check; what LiteLLM's map fills in; texts and personas from files."""
