"""The package `websockets`, with its defaults, against an echo behind the gateway.

WS_URL says every message again, and ends when it is told `go`; WS_BYTES_MAX is the largest message that it takes. It prints
`ok STEP` or `FAILED STEP: WHY` a line, and the score as the last line.
"""

import asyncio
import os
import sys

import websockets
from websockets.exceptions import ConnectionClosed

URL = os.environ["WS_URL"]
BYTES_MAX = int(os.environ["WS_BYTES_MAX"])
# A driver that hangs is a failure with a name.
STEP_S_MAX = 30


def opened():
    return websockets.connect(URL, max_size=None)


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"{str(found)[:200]} instead of {str(wanted)[:200]}")


async def echoed(socket, message):
    await socket.send(message)
    expect(await socket.recv(), message)


async def end_of(socket):
    try:
        while True:
            await socket.recv()
    except ConnectionClosed:
        return socket.close_code


async def texts_are_said_again():
    async with opened() as socket:
        for text in ["hello", "", "云栈🍵", "x" * 70_000]:
            await echoed(socket, text)


async def a_mebibyte_is_said_again():
    async with opened() as socket:
        await echoed(socket, bytes(range(256)) * 4096)


async def messages_stay_in_order():
    async with opened() as socket:
        texts = [f"message {at}" for at in range(100)]
        for text in texts:
            await socket.send(text)
        expect([await socket.recv() for _ in texts], texts)


async def a_message_in_pieces_is_one():
    async with opened() as socket:
        await socket.send(["云", "", "栈"])
        expect(await socket.recv(), "云栈")
        await socket.send([b"a" * 1000] * 50)
        expect(await socket.recv(), b"a" * 50_000)


async def a_ping_is_answered():
    async with opened() as socket:
        for data in [b"", b"are you there", b"x" * 125]:
            await (await socket.ping(data))


async def the_client_ends_it():
    for code in [1000, 3000, 4999]:
        socket = await opened()
        await socket.close(code, "bye")
        expect((socket.close_code, socket.close_reason), (code, "bye"))


async def the_service_ends_it():
    socket = await opened()
    await socket.send("go")
    expect(await end_of(socket), 1000)


async def a_message_that_is_too_large_is_told_by_its_code():
    socket = await opened()
    try:
        await socket.send(b"x" * (BYTES_MAX * 4))
    except ConnectionClosed:
        pass
    expect(await end_of(socket), 1009)


STEPS = [
    texts_are_said_again,
    a_mebibyte_is_said_again,
    messages_stay_in_order,
    a_message_in_pieces_is_one,
    a_ping_is_answered,
    the_client_ends_it,
    the_service_ends_it,
    a_message_that_is_too_large_is_told_by_its_code,
]


async def main():
    failed = 0
    for step in STEPS:
        name = step.__name__.replace("_", " ")
        try:
            await asyncio.wait_for(step(), STEP_S_MAX)
            print(f"ok {name}")
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {error!r}")
    print(f"{len(STEPS) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(asyncio.run(main()))
