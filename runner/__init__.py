"""Persona Runner: ask many models, in the role of many personas, to read texts and score them.

From the command line down, each module importing only those below it:

__main__      the command line: Hydra's application, and the verbs
commands      what each command does and prints
runfile       run.json and experiment.json; a run's folder -> MLflow
pipeline      the stages in order; the only module that knows them all
progress      what is seen while requests are out
tracking      MLflow, by explicit run ids
transcript    results.jsonl, errors.jsonl, replies/*.txt
aggregate     rows -> tables
live          trials -> answers, over HTTP
rows          trial and answer -> row
providers     how models are reached that need more than an address
plan          Experiment -> cells -> trials with keys
prompt        persona and text -> the prompt
capability    prompt and sampling -> the request that a model takes
codec         a model's address, headers and wire format
score         reply -> scores, or why there are none
ledger        paid answers by key
retry         the one retry policy
translation   request <-> a provider's JSON, by LiteLLM's configs
reply         a provider's JSON or error -> Reply or ProviderError
config        a composed config -> Experiment, with every check
hydra_errors  Hydra's complaints, said clearly
catalog       LiteLLM's map of prices and abilities
sources       texts and personas from folders and tables
schema        keys, types and defaults of the config
errors        what is raised on purpose
records       the values between the stages
"""
