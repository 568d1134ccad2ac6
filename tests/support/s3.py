"""An S3 server on loopback for tests, and what it holds. It is a process of its own, one for each process of pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Asked otherwise, for seconds, wherever there are no keys.
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "lake"


@dataclass
class Bucket:
    """A bucket on a server of its own.

    address: host and port.
    requests: the file to which the server writes each request as a line: method, path and range.
    """

    address: str
    requests: Path
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        import boto3

        self.client = boto3.client("s3", endpoint_url=f"http://{self.address}")
        self.client.create_bucket(Bucket=BUCKET)

    def url(self, key: str) -> str:
        return f"s3://{BUCKET}/{key}?endpoint_override={self.address}&scheme=http"

    @property
    def pyarrow(self) -> Any:
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(endpoint_override=self.address, scheme="http", region="us-east-1")

    @property
    def s3fs(self) -> Any:
        import s3fs

        return s3fs.S3FileSystem(endpoint_url=f"http://{self.address}", skip_instance_cache=True)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data

    def keys(self) -> list[str]:
        """All keys, without the empty objects that pyarrow makes where a folder would be."""
        found = [one["Key"] for one in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return [key for key in found if not key.endswith("/")]

    def uploads(self) -> list[str]:
        """The keys of unfinished uploads."""
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def empty(self) -> None:
        for one in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
            self.client.abort_multipart_upload(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"])
        for one in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            self.client.delete_object(Bucket=BUCKET, Key=one["Key"])
        self.requests.write_text("")

    def asked(self) -> list[str]:
        """The requests since the last call."""
        found = self.requests.read_text().splitlines()
        self.requests.write_text("")
        return found


@contextmanager
def served(folder: Path) -> Iterator[Bucket]:
    """A bucket on a new server, with the environment that its clients need."""
    for module in ("moto", "flask", "flask_cors", "boto3", "s3fs"):
        pytest.importorskip(module)
    requests = folder / "requests"
    requests.touch()
    command = [sys.executable, "-m", "support.s3_server", str(requests)]
    environment = {**os.environ, **KEYS, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDEVMODE": ""}
    with (
        mock.patch.dict(os.environ, KEYS),
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as server,
    ):
        assert server.stdout is not None
        try:
            yield Bucket(server.stdout.readline().strip(), requests)
        finally:
            server.kill()
