"""Sends messages of many sizes through a proxy and reads them back: URL PROXY CA."""
import asyncio
import ssl
import sys

from websockets.asyncio.client import connect


async def main():
    _, url, proxy, ca = sys.argv
    context = ssl.create_default_context(cafile=ca)
    async with connect(url, proxy=proxy, ssl=context, max_size=None) as socket:
        for size in [0, 1, 125, 126, 65535, 65536, 2_000_000]:
            await socket.send("m" * size)
            assert await socket.recv() == "m" * size, size
            await socket.send(bytes(range(256)) * (size // 256))
            assert await socket.recv() == bytes(range(256)) * (size // 256), size
        waiter = await socket.ping()
        await waiter
        await socket.send(["in ", "three ", "fragments"])
        assert await socket.recv() == "in three fragments"
    print(socket.close_code, "permessage" if socket.protocol.extensions else "plain", end="")


asyncio.run(main())
