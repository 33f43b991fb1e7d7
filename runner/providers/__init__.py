"""How models are reached: one module a batch API family, the embedded model, and the table that names them."""
