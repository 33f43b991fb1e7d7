"""What the simulated models are asked and say, in each API's words."""
