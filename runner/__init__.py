"""Persona Runner: ask many models, in the role of many personas, to read texts and score them."""
