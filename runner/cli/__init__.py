"""What is typed and what is shown: the command line, Hydra's application, one module a verb, the display of progress.

Takes words and gives an exit status, tables on stdout and one `error:` with one `try:` on stderr. Never decides what is
asked, bought or counted: it calls what the rooms below offer, and says what they return.
"""
