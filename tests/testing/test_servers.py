"""The servers of the tests can be stopped, killed and started again in the middle of a test."""

import psycopg
import pytest
import redis

from tests.servers import Postgres, Redis, Server


def test_redis_keeps_acknowledged_memories_when_it_is_killed(redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("key", "value")
    redis_server.kill()
    assert not redis_server.running
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.get("key") == b"value"


def test_redis_is_empty_for_each_test(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_postgres_keeps_its_commits_when_it_ends(postgres_server: Postgres, postgres_url: str, end: object) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept (n INT)")
    assert callable(end)
    end(postgres_server)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url)
    postgres_server.start()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_each_postgres_database_is_empty(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
