from __future__ import annotations

import asyncio
import subprocess
import sys

import phonenumbers

from portcullis.mains.serve_gateway import warm_up

LATER = {"phonenumbers", "portcullis.adapters.redis", "redis", "stdnum"}
NEVER = {
    "alembic",
    "securesystemslib",
    "tuf",
    "portcullis.adapters.sql.registry.registry",
    "portcullis.adapters.tuf",
    "portcullis.gateway.operators",
    "portcullis.publisher",
    "portcullis.registry",
}


def test_a_worker_alone_starts_without_what_it_needs_later_or_not_at_all():
    program = (
        "import sys\n"
        "import portcullis.cli.app, portcullis.mains.wiring, portcullis.mains.serve, portcullis.mains.serve_gateway\n"
        "import portcullis.adapters.sql.journal.journal, portcullis.adapters.sql.migrating\n"
        "print(*sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert set() == (LATER | NEVER).intersection(done.stdout.split())


async def test_the_plans_of_phone_numbers_are_read_between_turns_of_the_event_loop():
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    await warm_up()
    others.cancel()

    assert turns >= len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
