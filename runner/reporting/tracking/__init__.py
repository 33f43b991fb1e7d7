"""A launch's folder -> its runs in MLflow, by explicit run ids, from a process of its own."""
