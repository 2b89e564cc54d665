"""Orders over the PostgreSQL protocol: psycopg 3, as it would be used with any PostgreSQL.

Start the server with `millstream serve --pg-listen 127.0.0.1:5432`.
"""

import os
import threading
from itertools import count

import psycopg

URL = os.environ.get("POSTGRES_URL", "postgresql://ann@127.0.0.1:5432/market")

CHANGES = """
    SELECT CHANGE_TYPE() AS what, COALESCE(NEW._id, OLD._id) AS id, COALESCE(NEW.total, OLD.total) AS total
    FROM orders WHERE CHANGE_DETECTED()
"""


def write(stop: threading.Event) -> None:
    """Places, changes and removes one order after the other, on a connection of its own."""
    with psycopg.connect(URL, autocommit=True) as connection:
        for number in count(4):
            if stop.wait(0.2):
                return
            connection.execute("INSERT INTO orders (_id, customer, total) VALUES (%s, %s, %s)", (number, "Cleo", 7))
            connection.execute("UPDATE orders SET total = total + 1 WHERE _id = %s", (number,))
            connection.execute("DELETE FROM orders WHERE _id = %s", (number,))


def follow_one_order() -> None:
    """Prints what happens to the first order that is placed while this looks."""
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(stop,))
    writer.start()
    try:
        with psycopg.connect(URL, autocommit=True) as connection, connection.cursor() as cursor:
            followed = None
            # A change query does not end by itself: `stream` hands out each row as it comes, and cancels when it is left.
            for what, number, total in cursor.stream(CHANGES):
                if followed is None and what == "INSERT":
                    followed = number
                if number == followed:
                    print(what, total)
                    if what == "DELETE":
                        break
    finally:
        stop.set()
        writer.join()


def main() -> None:
    with psycopg.connect(URL) as connection:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO orders (_id, customer, total) VALUES (%s, %s, %s)",
                [(1, "Ann", 30), (2, "Bob", 12.5), (3, "Ann", 20)],
            )
        connection.commit()
        # What has no type of its own is jsonb, which psycopg turns into values of Python.
        rows = connection.execute(
            "SELECT customer, SUM(total) AS spent FROM orders WHERE total > %s GROUP BY customer ORDER BY customer", (10,)
        )
        for customer, spent in rows:
            print(f"{customer} spent {spent}")
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders' ORDER BY ordinal_position"
        )
        print("columns:", ", ".join(name for (name,) in columns))
    follow_one_order()


if __name__ == "__main__":
    main()
