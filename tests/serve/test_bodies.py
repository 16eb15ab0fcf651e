"""Bodies are read within bytes and seconds."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.serve.bodies import Bodies, GoneError, Message, replayed
from perisphere.serve.refused import RefusedError
from perisphere.serve.settings import Settings

SMALL = Settings(body_bytes=1000, all_bodies_bytes=1500, body_seconds=0.05)


class Sender:
    """A client that sends parts, and then goes on as told: ``more`` of the last for ever, or nothing."""

    def __init__(self, parts: Sequence[bytes], then: str = "end") -> None:
        self.parts, self.then, self.taken = list(parts), then, 0

    async def __call__(self) -> Message:
        if self.taken < len(self.parts):
            self.taken += 1
            more = self.taken < len(self.parts) or self.then != "end"
            return {"type": "http.request", "body": self.parts[self.taken - 1], "more_body": more}
        if self.then == "for ever":
            self.taken += 1
            return {"type": "http.request", "body": self.parts[-1], "more_body": True}
        if self.then == "gone":
            return {"type": "http.disconnect"}
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")


def read(bodies: Bodies, sender: Sender, **headers: str) -> bytes:
    async def whole() -> bytes:
        async with bodies.read(
            {name.replace("_", "-"): text for name, text in headers.items()}, sender
        ) as body:
            assert bodies.held == len(body)
            return body

    return asyncio.run(whole())


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=10))
def test_a_body_is_what_was_sent(parts: list[bytes]) -> None:
    bodies = Bodies(SMALL)
    assert read(bodies, Sender(parts)) == b"".join(parts)
    assert bodies.held == 0


@pytest.mark.parametrize("length", [b"1001", b"99999999999999999999999999", b"5000"])
def test_too_many_bytes_are_refused_by_their_length_before_any_is_read(length: bytes) -> None:
    sender = Sender([b"x" * 10])
    with pytest.raises(RefusedError, match="more than 1,000 bytes") as refused:
        read(Bodies(SMALL), sender, content_length=length.decode())
    assert (refused.value.status, sender.taken) == (413, 0)


def test_a_body_without_a_length_that_never_ends_is_refused_at_the_limit() -> None:
    sender = Sender([b"x" * 100], then="for ever")
    bodies = Bodies(SMALL)
    with pytest.raises(RefusedError) as refused:
        read(bodies, sender)
    assert (refused.value.status, sender.taken, bodies.held) == (413, 11, 0)


@pytest.mark.parametrize("length", ["-1", "ten", "1_000", "٣", "0x10", " "])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(Bodies(SMALL), Sender([b"x"]), content_length=length)
    assert refused.value.status == 400


def test_a_slow_sender_is_not_waited_for() -> None:
    bodies = Bodies(SMALL)
    with pytest.raises(RefusedError, match=r"within 0.05 seconds") as refused:
        read(bodies, Sender([b"x"], then="silence"))
    assert (refused.value.status, bodies.held) == (408, 0)


def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    bodies = Bodies(SMALL)
    with pytest.raises(GoneError):
        read(bodies, Sender([b"x" * 900], then="gone"))
    assert bodies.held == 0


def test_all_bodies_together_have_a_limit() -> None:
    bodies = Bodies(SMALL)

    async def both() -> None:
        async with bodies.read({}, Sender([b"x" * 900])):
            with pytest.raises(RefusedError) as refused:
                async with bodies.read({}, Sender([b"x" * 900])):
                    pass
            assert refused.value.status == 503
            async with bodies.read({}, Sender([b"x" * 600])) as body:
                assert len(body) == 600
        assert bodies.held == 0

    asyncio.run(both())


def test_a_body_that_was_read_is_handed_over_once() -> None:
    async def twice() -> tuple[Any, Any]:
        receive = replayed(b"body", Sender([], then="gone"))
        return await receive(), await receive()

    first, second = asyncio.run(twice())
    assert first == {"type": "http.request", "body": b"body", "more_body": False}
    assert second["type"] == "http.disconnect"
