"""Call the API without an MCP server: `python -m benchmarks.direct ORIGIN SECONDS` writes the median in ms."""

import asyncio
import sys
import time
from statistics import median

import httpx2

from benchmarks.client import MAILBOXES, WARM_UP
from benchmarks.peers import KEY
from benchmarks.stub import ROUTE


async def measure(origin: str, seconds: float) -> float:
    """Get one mailbox after another, as the servers do, and check each."""
    latencies: list[float] = []
    async with httpx2.AsyncClient(base_url=origin, headers={"X-API-Key": KEY}) as http:
        end = time.perf_counter() + seconds
        while len(latencies) < 2 * WARM_UP or time.perf_counter() < end:
            address = f"client-{len(latencies) % MAILBOXES}@inkboxmail.com"
            began = time.perf_counter()
            data = (await http.get(f"{ROUTE}/{address}")).raise_for_status().json()
            latencies.append((time.perf_counter() - began) * 1000)
            if data["email_address"] != address:
                raise AssertionError(f"{address} was answered {data}")
    return median(latencies[WARM_UP:])


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(measure(sys.argv[1], float(sys.argv[2])))}\n")
