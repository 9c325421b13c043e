"""Watches a simulated price with asyncio and the system's numpy, on Flodea's clock."""
import asyncio
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one agent, half a core: a thread pool only costs memory

import numpy as np

import flodea.aio

TICK_SECONDS = 0.25
WINDOW = 20


async def prices():
    """One price a tick, on the node's clock, each at its time: late ticks do not add up."""
    rng = np.random.default_rng(42)
    price = 3100.0
    due = (await flodea.aio.clock.now()).monotonic_nanos
    while True:
        due += int(TICK_SECONDS * 1e9)
        await flodea.aio.clock.sleep_until(monotonic_nanos=due)
        price *= float(np.exp(rng.normal(0, 0.002)))
        yield price


async def watch():
    """Prints mean and volatility of the last WINDOW prices."""
    seen = []
    async for price in prices():
        seen = (seen + [price])[-WINDOW:]
        window = np.asarray(seen)
        returns = np.diff(np.log(window)) if len(window) > 1 else np.zeros(1)
        print(f"price {price:.2f} mean {window.mean():.2f} volatility {returns.std() * 100:.3f} %")


async def main():
    await flodea.aio.agent.ready()
    watching = asyncio.create_task(watch())
    notice = await flodea.aio.agent.wait_stop()
    watching.cancel()
    print(f"asked to stop: {notice.reason}")


asyncio.run(main())
