"""Persona Runner: ask many models, in the role of many personas, to read texts and score them.

From the command line down, each module importing only those below it:

__main__      the command line: Hydra's application, and the verbs
verbs         what each verb takes and calls
rehearsal     a session whose models all answer on loopback
simulator     the providers' APIs on loopback, with faults
launcher      Hydra's launcher `pooled`: all jobs of a sweep as one
task          the function that Hydra calls
batches       what the verbs about batches do
commands      a run, a job of a sweep elsewhere, a reproduction
planner       `runner plan`, in the place of a session
completion    tab completion in bash, zsh and fish
models        `runner models`: what each model takes and costs
results       what the verbs about results do
session       one start of the program as its user sees it
tracker       MLflow from a process of its own
logbook       a launch's folder -> its runs in MLflow
study         the study's files <-> runs
reproduce     a run's folder -> is it still what it says, would it come out the same here
compare       runs -> differences of settings and scores
recheck       rows held against the plan and the ledger
fresh         a run bought again: how far its scores moved
runs          a run as a user names it -> its folder
runfile       run.json, experiment.json, sweep.json
pipeline      the stages in order; the only module that knows them all
purchase      what the ledger lacks: claimed, bought once, kept
saved         experiment.json -> Experiment; settings and their differences
ahead         what only the results need, imported while replies are awaited
progress      what is seen while requests are out
plots         pictures of a sweep
tables        tables for a terminal
report        a run's folder -> one page of HTML
traces        trials as MLflow traces
tracking      MLflow, by explicit run ids
transcript    results.jsonl, errors.jsonl, replies/*.txt
aggregate     tallies -> tables and metrics
reply_files   where replies go: a file for each, or an archive
stats         rows -> intervals, differences, ANOVA, agreement
estimate      what a launch would buy: requests, tokens, dollars, seconds
tally         rows, counted
listing       which models a provider says that it serves
live          trials -> answers, over HTTP
batch         trials -> answers, by the providers' batch APIs
rows          trial and answer -> row
providers     the embedded model, and one file for each batch API
job           a job's experiment, its prompts ready: trials
tokens        how many tokens a text has, without a network
plan          Experiment -> cells -> trials with keys
prompt        persona and text -> the prompt
capability    prompt and sampling -> the request that a model takes
codec         a model's address, headers and wire format
score         reply -> scores, or why there are none
ledger        paid answers by key
retry         the one retry policy
gate          an account's gate: how many requests at once, how fast
sending       one attempt at one request: bytes out, bytes back
translation   request <-> a provider's JSON, by LiteLLM's configs
quota         limits that refill, and what providers' headers say of them
database      where answers and batches are kept: opened, its failures said
group_commit  put one by one, stored many at a time
reply         a provider's JSON or error -> Reply or ProviderError
config        a composed config -> Experiment, with every check
hydra_errors  Hydra's complaints, said clearly
catalog       LiteLLM's map of prices and abilities
sources       texts and personas from folders and tables
schema        keys, types and defaults of the config
words         a command line's words, in the order that Hydra takes them
errors        what is raised on purpose
process       who a process is, and whether it still lives
fastjson      JSON by orjson
records       the values between the stages
"""
