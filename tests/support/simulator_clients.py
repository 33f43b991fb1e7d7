"""The simulated batch APIs behind one face: each client does over plain HTTP what its vendor's reference says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

USER = 'Rate the text. Reply with JSON. It has the keys "fun", "fear", and so on.'
CHAT = "/v1/chat/completions"


def chat_body(model: str, number: int = 0, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": f"{USER} {number}"}], **more}


def claude_body(number: int = 0, **more: Any) -> dict[str, Any]:
    return {**chat_body("claude-haiku-4-5", number), "max_tokens": 500, **more}


def gemini_body(number: int = 0, **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": f"{USER} {number}"}]}], **more}


def jsonl(lines: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def send(method: str, url: str, **more: Any) -> httpx.Response:
    # Reading the machine's certificates, which loopback has no use for, would take longer than the request.
    return httpx.request(method, url, timeout=10, verify=False, trust_env=False, **more)  # noqa: S501  plain HTTP


@dataclass
class Client:
    """HTTP below one provider's prefix."""

    base: str
    prefix: str
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": "Bearer key-1"})

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Any request."""
        headers = {**self.headers, **more.pop("headers", {})}
        return send(method, f"{self.base}{self.prefix}{path}", headers=headers, **more)

    def json(self, method: str, path: str, **more: Any) -> Any:
        """A request that must succeed, and its JSON."""
        reply = self.call(method, path, **more)
        assert reply.status_code < 300, f"{reply.status_code} {reply.text}"
        return reply.json() if reply.content else {}


@dataclass
class OpenAI(Client):
    """OpenAI, Groq and kluster.ai."""

    model: str = "gpt-4o"
    window: str = "24h"

    def body(self, number: int) -> dict[str, Any]:
        """A request's body that the API takes; the number makes it its own."""
        return chat_body(self.model, number)

    def upload(self, data: bytes) -> str:
        """A file's name at the provider."""
        return str(self.json("POST", "/files", files={"file": ("in.jsonl", data)}, data={"purpose": "batch"})["id"])

    def create(self, bodies: Mapping[str, Any]) -> str:
        """Submit a batch of bodies by id."""
        lines = [{"custom_id": name, "method": "POST", "url": CHAT, "body": body} for name, body in bodies.items()]
        file_id = self.upload(jsonl(lines))
        made = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": self.window, "metadata": {"our": "m"}}
        return str(self.json("POST", "/batches", json=made)["id"])

    def state(self, job: str) -> str:
        """Where it stands, in the words of the API."""
        return str(self.json("GET", f"/batches/{job}")["status"])

    def lines(self, job: str) -> list[bytes]:
        """Result lines as they came."""
        batch = self.json("GET", f"/batches/{job}")
        files = [batch[name] for name in ("output_file_id", "error_file_id") if batch[name]]
        return [line for file in files for line in self.call("GET", f"/files/{file}/content").content.splitlines()]

    def ends(self, job: str) -> dict[str, str]:
        """Each item's end, by its id."""
        found = {}
        for line in map(json.loads, self.lines(job)):
            ok = line["response"] is not None and line["response"]["status_code"] == 200
            kind = line["error"]["code"].removeprefix("batch_") if line["error"] else "errored"
            found[line["custom_id"]] = "succeeded" if ok else kind
        return found

    def cancel(self, job: str) -> None:
        """Cancel it."""
        self.json("POST", f"/batches/{job}/cancel")

    def listed(self) -> list[str]:
        """The ids that a list shows."""
        return [batch["id"] for batch in self.json("GET", "/batches")["data"]]


@dataclass
class Mistral(OpenAI):
    """Mistral's jobs, from files."""

    model: str = "mistral-small-latest"

    def create(self, bodies: Mapping[str, Any]) -> str:
        """Submit a batch of bodies by id."""
        file_id = self.upload(jsonl({"custom_id": name, "body": body} for name, body in bodies.items()))
        made = {"input_files": [file_id], "endpoint": CHAT, "model": self.model, "metadata": {"our": "m"}}
        return str(self.json("POST", "/batch/jobs", json=made)["id"])

    def state(self, job: str) -> str:
        """Where it stands, in the words of the API."""
        return str(self.json("GET", f"/batch/jobs/{job}")["status"])

    def lines(self, job: str) -> list[bytes]:
        """Result lines as they came."""
        batch = self.json("GET", f"/batch/jobs/{job}")
        files = [batch[name] for name in ("output_file", "error_file") if batch[name]]
        return [line for file in files for line in self.call("GET", f"/files/{file}/content").content.splitlines()]

    def cancel(self, job: str) -> None:
        """Cancel it."""
        self.json("POST", f"/batch/jobs/{job}/cancel")

    def listed(self) -> list[str]:
        """The ids that a list shows."""
        return [batch["id"] for batch in self.json("GET", "/batch/jobs")["data"]]


@dataclass
class Xai(Client):
    """xAI."""

    def body(self, number: int) -> dict[str, Any]:
        """A request's body that the API takes; the number makes it its own."""
        return chat_body("grok-3", number)

    def create(self, bodies: Mapping[str, Any]) -> str:
        """Submit a batch of bodies by id."""
        job = str(self.json("POST", "/batches", json={"name": "m"})["batch_id"])
        entries = [
            {"batch_request_id": name, "batch_request": {"chat_get_completion": body}} for name, body in bodies.items()
        ]
        self.json("POST", f"/batches/{job}/requests", json={"batch_requests": entries})
        return job

    def state(self, job: str) -> str:
        """Made of the counters, as a client must."""
        batch = self.json("GET", f"/batches/{job}")
        if batch["cancel_by_xai_message"]:
            return "rejected"
        return "done" if batch["state"]["num_pending"] == 0 else f"pending {batch['state']['num_pending']}"

    def lines(self, job: str) -> list[bytes]:
        """Result lines as they came."""
        lines: list[bytes] = []
        token = None
        while True:
            query = {"limit": "2", **({"pagination_token": token} if token else {})}
            page = self.json("GET", f"/batches/{job}/results", params=query)
            lines += [json.dumps(result).encode() for result in page["results"]]
            token = page["pagination_token"]
            if token is None:
                return lines

    def ends(self, job: str) -> dict[str, str]:
        """Each item's end, by its id."""
        results = map(json.loads, self.lines(job))
        return {
            line["batch_request_id"]: "succeeded" if "response" in line["batch_result"] else "errored"
            for line in results
        }

    def cancel(self, job: str) -> None:
        """Cancel it."""
        self.json("POST", f"/batches/{job}:cancel")

    def listed(self) -> list[str]:
        """The ids that a list shows."""
        return [batch["batch_id"] for batch in self.json("GET", "/batches")["batches"]]


@dataclass
class Anthropic(Client):
    """Anthropic."""

    headers: dict[str, str] = field(default_factory=lambda: {"x-api-key": "key-1", "anthropic-version": "2023-06-01"})

    def body(self, number: int) -> dict[str, Any]:
        """A request's body that the API takes; the number makes it its own."""
        return claude_body(number)

    def create(self, bodies: Mapping[str, Any]) -> str:
        """Submit a batch of bodies by id."""
        requests = [{"custom_id": name, "params": body} for name, body in bodies.items()]
        return str(self.json("POST", "/v1/messages/batches", json={"requests": requests})["id"])

    def state(self, job: str) -> str:
        """Where it stands, in the words of the API."""
        return str(self.json("GET", f"/v1/messages/batches/{job}")["processing_status"])

    def lines(self, job: str) -> list[bytes]:
        """Result lines as they came."""
        return self.call("GET", f"/v1/messages/batches/{job}/results").content.splitlines()

    def ends(self, job: str) -> dict[str, str]:
        """Each item's end, by its id."""
        return {line["custom_id"]: line["result"]["type"] for line in map(json.loads, self.lines(job))}

    def cancel(self, job: str) -> None:
        """Cancel it."""
        self.json("POST", f"/v1/messages/batches/{job}/cancel")

    def listed(self) -> list[str]:
        """The ids that a list shows."""
        return [batch["id"] for batch in self.json("GET", "/v1/messages/batches")["data"]]


@dataclass
class Gemini(Client):
    """Requests in the call."""

    headers: dict[str, str] = field(default_factory=lambda: {"x-goog-api-key": "key-1"})
    root: str = "/v1beta"

    def body(self, number: int) -> dict[str, Any]:
        """A request's body that the API takes; the number makes it its own."""
        return gemini_body(number)

    def source(self, bodies: Mapping[str, Any]) -> dict[str, Any]:
        """Where the requests are."""
        entries = [{"request": body, "metadata": {"key": name}} for name, body in bodies.items()]
        return {"requests": {"requests": entries}}

    def create(self, bodies: Mapping[str, Any]) -> str:
        """Submit a batch of bodies by id."""
        made = {"batch": {"displayName": "m", "inputConfig": self.source(bodies)}}
        path = f"{self.root}/models/gemini-2.5-flash:batchGenerateContent"
        return str(self.json("POST", path, json=made)["name"]).removeprefix("batches/")

    def state(self, job: str) -> str:
        """Where it stands, in the words of the API."""
        return str(self.json("GET", f"{self.root}/batches/{job}")["metadata"]["state"])

    def lines(self, job: str) -> list[bytes]:
        """Result lines as they came."""
        output = self.json("GET", f"{self.root}/batches/{job}")["metadata"].get("output", {})
        return [json.dumps(line).encode() for line in output.get("inlinedResponses", {}).get("inlinedResponses", [])]

    def ends(self, job: str) -> dict[str, str]:
        """Each item's end, by its id."""
        return {
            line["metadata"]["key"]: "succeeded" if "response" in line else "errored"
            for line in map(json.loads, self.lines(job))
        }

    def cancel(self, job: str) -> None:
        """Cancel it."""
        self.json("POST", f"{self.root}/batches/{job}:cancel")

    def listed(self) -> list[str]:
        """The ids that a list shows."""
        operations = self.json("GET", f"{self.root}/batches")["operations"]
        return [operation["name"].removeprefix("batches/") for operation in operations]


@dataclass
class GeminiFile(Gemini):
    """Requests in a file."""

    def upload(self, data: bytes) -> str:
        """A file's name at the provider."""
        head = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
        started = self.call("POST", f"/upload{self.root}/files", headers=head, json={"file": {"displayName": "in"}})
        address = started.headers["x-goog-upload-url"]
        middle = len(data) // 2
        for start, chunk, command in ((0, data[:middle], "upload"), (middle, data[middle:], "upload, finalize")):
            told = {"x-goog-upload-command": command, "x-goog-upload-offset": str(start)}
            reply = send("POST", address, headers={**self.headers, **told}, content=chunk)
        return str(reply.json()["file"]["name"])

    def source(self, bodies: Mapping[str, Any]) -> dict[str, Any]:
        """Where the requests are."""
        return {"fileName": self.upload(jsonl({"key": name, "request": body} for name, body in bodies.items()))}

    def lines(self, job: str) -> list[bytes]:
        """Result lines as they came."""
        output = self.json("GET", f"{self.root}/batches/{job}")["metadata"].get("output")
        if output is None:
            return []
        path = f"{self.root}/{output['responsesFile']}:download"
        return self.call("GET", path, params={"alt": "media"}).content.splitlines()

    def ends(self, job: str) -> dict[str, str]:
        """Each item's end, by its id."""
        return {
            line["key"]: "succeeded" if "response" in line else "errored" for line in map(json.loads, self.lines(job))
        }


@dataclass
class Vertex(Client):
    """Vertex AI, with the storage beside it."""

    root: str = "/v1/projects/p/locations/l"

    def body(self, number: int) -> dict[str, Any]:
        """A request's body that the API takes; the number makes it its own."""
        return gemini_body(number)

    def create(self, bodies: Mapping[str, Any]) -> str:
        """Submit a batch of bodies by id."""
        lines = [{"request": {**body, "labels": {"key": name}}} for name, body in bodies.items()]
        upload = f"{self.base}/gcs/upload/storage/v1/b/bucket/o?uploadType=media&name=in.jsonl"
        assert send("POST", upload, content=jsonl(lines)).status_code == 200
        made = {
            "displayName": "m",
            "model": "publishers/google/models/gemini-2.5-flash",
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://bucket/in.jsonl"]}},
            "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://bucket/out"}},
        }
        return str(self.json("POST", f"{self.root}/batchPredictionJobs", json=made)["name"]).rpartition("/")[2]

    def state(self, job: str) -> str:
        """Where it stands, in the words of the API."""
        return str(self.json("GET", f"{self.root}/batchPredictionJobs/{job}")["state"])

    def lines(self, job: str) -> list[bytes]:
        """Result lines as they came."""
        told = self.json("GET", f"{self.root}/batchPredictionJobs/{job}").get("outputInfo")
        if told is None:
            return []
        name = told["gcsOutputDirectory"].removeprefix("gs://bucket/") + "/predictions.jsonl"
        path = f"{self.base}/gcs/storage/v1/b/bucket/o/{name.replace('/', '%2F')}?alt=media"
        return send("GET", path).content.splitlines()

    def ends(self, job: str) -> dict[str, str]:
        """Each item's end, by its id."""
        return {
            line["request"]["labels"]["key"]: "errored" if line["status"] else "succeeded"
            for line in map(json.loads, self.lines(job))
        }

    def cancel(self, job: str) -> None:
        """Cancel it."""
        self.json("POST", f"{self.root}/batchPredictionJobs/{job}:cancel")

    def listed(self) -> list[str]:
        """The ids that a list shows."""
        jobs = self.json("GET", f"{self.root}/batchPredictionJobs")["batchPredictionJobs"]
        return [job["name"].rpartition("/")[2] for job in jobs]


BatchClient = OpenAI | Xai | Anthropic | Gemini | Vertex


LLAMA = "llama-3.3-70b-versatile"
MADE: Mapping[str, Callable[[str], BatchClient]] = {
    "openai": lambda base: OpenAI(base, "/openai/v1"),
    "groq": lambda base: OpenAI(base, "/groq/openai/v1", model=LLAMA),
    "kluster": lambda base: OpenAI(base, "/kluster/v1", model="klusterai/Meta-Llama-3.3-70B-Instruct-Turbo"),
    "mistral": lambda base: Mistral(base, "/mistral/v1"),
    "xai": lambda base: Xai(base, "/xai/v1"),
    "anthropic": lambda base: Anthropic(base, "/anthropic"),
    "gemini": lambda base: Gemini(base, "/gemini"),
    "gemini_file": lambda base: GeminiFile(base, "/gemini"),
    "vertex": lambda base: Vertex(base, "/vertex"),
}
NAMES = tuple(MADE)


def client(name: str, base: str) -> BatchClient:
    """The client of an API at a server's address."""
    return MADE[name](base)
