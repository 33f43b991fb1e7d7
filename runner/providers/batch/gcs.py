"""Google Cloud Storage's JSON API, as far as a batch needs it: put a file, list a folder, read lines, delete.

Formats: https://cloud.google.com/storage/docs/json_api/v1/objects. Objects are named by gs:// addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from runner.providers.batch.http import ERROR_BYTES, ask, delete, limited, lines, opened, reading, text_at
from runner.providers.batch.lines import objects

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    import aiohttp

GOOGLE = "https://storage.googleapis.com"


@dataclass(frozen=True, slots=True)
class Storage:
    """The storage at one address, for one access token."""

    base: str
    headers: Mapping[str, str]
    max_reply_bytes: int = 16 * 2**20

    async def put(self, http: aiohttp.ClientSession, address: str, path: Path) -> None:
        """Write an object, whole or not at all; one of the same name is replaced."""
        bucket, name = split(address)
        url = f"{self.base}/upload/storage/v1/b/{quote(bucket)}/o"
        with reading(path) as file:
            headers = {**self.headers, "Content-Type": "application/jsonl"}
            query = {"uploadType": "media", "name": name}
            async with opened(http, "POST", url, params=query, data=file, headers=headers, total_s=None) as response:
                await limited(response, ERROR_BYTES)

    async def names(self, http: aiohttp.ClientSession, folder: str) -> AsyncGenerator[str]:
        """Addresses of the objects below a folder, in the order of their names."""
        bucket, name = split(folder)
        query = {"prefix": f"{name.rstrip('/')}/", "fields": "items(name),nextPageToken"}
        url = f"{self.base}/storage/v1/b/{quote(bucket)}/o"
        while True:
            page = await ask(http, "GET", url, params=query, headers=self.headers)
            for item in objects(page.get("items")):
                yield f"gs://{bucket}/{text_at(item, 'name')}"
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = text_at(page, "nextPageToken")

    def lines(self, http: aiohttp.ClientSession, address: str) -> AsyncGenerator[bytes]:
        """An object's lines as they arrive."""
        url = self._object(address, "/download")
        return lines(http, url, self.max_reply_bytes, params={"alt": "media"}, headers=self.headers)

    async def delete(self, http: aiohttp.ClientSession, address: str) -> bool:
        """Delete an object; False where it was gone already."""
        return await delete(http, self._object(address), self.headers)

    def _object(self, address: str, service: str = "") -> str:
        bucket, name = split(address)
        return f"{self.base}{service}/storage/v1/b/{quote(bucket)}/o/{quote(name, safe='')}"


def split(address: str) -> tuple[str, str]:
    """(bucket, name) of gs://bucket/name; the scheme may be left out."""
    bucket, _, name = address.removeprefix("gs://").partition("/")
    return bucket, name


def storage_beside(api_base: str) -> str:
    """Google's storage for a Google API; a stand-in for one, such as the simulator, serves its storage itself."""
    parts = urlsplit(api_base)
    host = parts.hostname or ""
    return GOOGLE if host.endswith(".googleapis.com") else f"{parts.scheme}://{parts.netloc}"
