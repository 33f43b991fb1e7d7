"""What is typed and what is shown: the command line, Hydra's application, a verb a module, progress."""
