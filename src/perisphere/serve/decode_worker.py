"""The process that decodes photos: nothing but bytes come in, nothing but pixels or a JPEG go out.

Foreign bytes meet decoders written in C here, where a limit of memory is set and nothing else is held; the
process that asks kills this one when it takes too long.

Each message is 12 bytes, the lengths of what follows (big-endian, 4 and 8), a JSON object, and a payload.
"""

import json
import resource
import struct
import sys
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.images import ImageError, decode, header

HEAD = struct.Struct(">IQ")
QUALITY = 85


def main() -> None:
    """Answer requests until the other end closes; the argument is the address space in bytes."""
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    cv2.setNumThreads(1)
    asked, answered = sys.stdin.buffer, sys.stdout.buffer
    while (message := read(asked)) is not None:
        request, data = message
        try:
            write(answered, *_answer(request, data))
        except ImageError as error:
            write(answered, {"refused": error.reason}, b"")
        except (MemoryError, cv2.error):
            write(answered, {"refused": "too large to be decoded here"}, b"")


def read(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one message; ``None`` at the end of the stream."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    words, size = HEAD.unpack(head)
    described = stream.read(words)
    payload = stream.read(size)
    if len(described) < words or len(payload) < size:
        return None
    return json.loads(described), payload


def write(stream: IO[bytes], described: dict[str, Any], payload: bytes) -> None:
    """Write one message."""
    words = json.dumps(described).encode()
    stream.write(HEAD.pack(len(words), len(payload)) + words)
    stream.write(payload)
    stream.flush()


def _answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    width, height = header(data)
    if width * height > request["pixels"]:
        raise ImageError(
            "photo", f"{width:,} x {height:,}, more than the limit of {request['pixels']:,} pixels"
        )
    picture = decode(data, at_least=_shorter(width, height, request["side"]))
    turned = (picture.shape[1] > picture.shape[0]) != (width > height)
    small = reduced(picture, request["side"])
    facts = {"width": height if turned else width, "height": width if turned else height}
    if not request["jpeg"]:
        return {**facts, "shape": small.shape[:2]}, small.tobytes()
    return facts, jpeg(small)


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Return uint8 RGB ``[h, w, 3]`` as a JPEG."""
    done, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return encoded.tobytes()


def reduced(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a picture, uint8 ``[h, w, 3]``, whose longer side has at most ``side`` pixels."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return picture
    size = size_within(width, height, side)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def size_within(width: int, height: int, side: int) -> tuple[int, int]:
    """Return width and height of a picture whose longer side is brought down to ``side`` pixels."""
    scale = min(1.0, side / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _shorter(width: int, height: int, side: int) -> int:
    """Return the pixels that the shorter side has when the longer has ``side``."""
    return max(1, -(-side * min(width, height) // max(width, height)))


if __name__ == "__main__":
    main()
