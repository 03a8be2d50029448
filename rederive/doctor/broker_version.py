"""Which release of Kafka a cluster is at, asked as any client may before it has said who it is."""

import socket
import ssl
import struct
from contextlib import closing

from rederive.settings import Settings

_SECONDS = 5.0
_API_VERSIONS, _VERSION = 18, 3
_FINALIZED = 2
# Kafka's MetadataVersion: the level that a release begins with.
_RELEASES = (
    (1, "3.0"), (2, "3.1"), (3, "3.2"), (4, "3.3"), (8, "3.4"), (9, "3.5"), (12, "3.6"), (15, "3.7"), (20, "3.8"),
    (21, "3.9"), (22, "4.0"), (26, "4.1"), (28, "4.2"),
)  # fmt: skip


def release(settings: Settings, bootstrap: str) -> str | None:
    """The release whose features the cluster has, such as `4.1`; None where it doesn't say.

    OSError when nothing answers at the first address. It asks with ApiVersions, version 3, of Kafka's protocol.
    """
    host, _, port = bootstrap.split(",", maxsplit=1)[0].strip().rpartition("://")[2].rpartition(":")
    with closing(socket.create_connection((host.strip("[]"), int(port)), _SECONDS)) as plain:
        connection = plain
        if settings.kafka_security_protocol.endswith("SSL"):
            context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_location)
            connection = context.wrap_socket(plain, server_hostname=host)
        name = b"rederive"
        text = bytes([len(name) + 1]) + name
        body = struct.pack(">hhih", _API_VERSIONS, _VERSION, 1, len(name)) + name + b"\0" + text + bytes([2]) + b"1\0"
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        return _level(_exactly(connection, size))


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise ConnectionError("the broker closed the connection")
        found += part
    return found


class _Reader:
    """The flexible encoding: counts are varints, one too great; tags follow each structure."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("its answer is cut")
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        found = shift = 0
        while True:
            (byte,) = self.take(1)
            found |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return found

    def tags(self) -> dict[int, bytes]:
        return {self.varint(): self.take(self.varint()) for _ in range(self.varint())}


def _level(answer: bytes) -> str | None:
    reader = _Reader(answer)
    reader.take(4)
    if struct.unpack(">h", reader.take(2)) != (0,):
        return None
    for _ in range(reader.varint() - 1):
        reader.take(6)
        reader.tags()
    reader.take(4)
    features = _Reader(reader.tags().get(_FINALIZED, b"\1"))
    for _ in range(features.varint() - 1):
        name = features.take(features.varint() - 1)
        (level, _) = struct.unpack(">hh", features.take(4))
        features.tags()
        if name == b"metadata.version":
            return next((said for first, said in reversed(_RELEASES) if level >= first), None)
    return None
