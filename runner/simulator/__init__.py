"""The providers' APIs on loopback, with faults: to rehearse a run before paying, and to test against.

Imported by nothing but its verbs and tests. From the server down:

server        one asyncio server on one port; a thread of its own for tests
traffic       latency, quotas and faults that strike any request
registry      the table of providers
openai        chat, files and batches of OpenAI, Groq, kluster.ai; chat of DeepSeek
xai           xAI: chat, files, batches with counters
mistral       Mistral: chat, files, batch jobs
anthropic     messages and message batches of Anthropic
gemini        generateContent, files, batches
vertex        generateContent, batch prediction jobs
gcs           the part of the storage API that uploads, lists, downloads and deletes
lines         the lines of batch files in OpenAI's format
dialects      which models the chat completion APIs serve, and what each refuses
chat          what the chat completion APIs accept, and their reply
messages      what Anthropic's messages accept, and the reply
generate      what generateContent accepts, and its reply
uploads       files sent as multipart forms, and what one may do with them
world         what a provider remembers: files, jobs, purchases
jobs          a batch's course in time, as a function of the clock
reply         a deterministic, plausible answer to any prompt
form          checks of a request's fields
exchange      one request and its answer, free of any HTTP library
plan          the fault plan, and its YAML

The formats are those of the vendors' SDKs and references as of 2026. Only text is simulated, and no streams.
"""

from runner.simulator.plan import FaultPlan, load_plan, plan_names
from runner.simulator.server import Simulator, SimulatorThread, serve

__all__ = ["FaultPlan", "Simulator", "SimulatorThread", "load_plan", "plan_names", "serve"]
