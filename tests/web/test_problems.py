"""What goes wrong below the routes is said as a problem that the client can act on."""

import sqlite3
from pathlib import Path

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from app.web import problems


async def test_locked_database_is_503_with_retry(tmp_path: Path) -> None:
    path = tmp_path / "locked.db"
    holder = sqlite3.connect(path, isolation_level=None)
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
    api = FastAPI()
    problems.install(api)

    @api.post("/write")
    def write() -> None:
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (x INTEGER)"))

    try:
        holder.execute("BEGIN IMMEDIATE")
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            refused = await client.post("/write")
            holder.execute("ROLLBACK")
            taken = await client.post("/write")
    finally:
        engine.dispose()
        holder.close()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    assert refused.headers["content-type"] == "application/problem+json"
    assert "locked" not in refused.text
    assert taken.status_code == 200
