"""The queries of `millstream bench sql` by hand on pathway: events made in Python, or read from a file, into a callback.

`queries.py [--changes N] [--rows N] [--customers N] [--rate N] [--seconds N] [CASE...]`. Each case runs in a process of its own,
because a program of pathway runs once. `mill` reads the changes from a file of JSON lines, which is its own fast way in.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

MASK = (1 << 64) - 1


def scattered(number):
    mixed = ((number + 1) * 0x9E3779B97F4A7C15) & MASK
    return mixed ^ (mixed >> 29)


def order(number):
    return {"number": number, "region": f"region {scattered(number) % 1000}", "total": number % 997 * 1.25}


def say(case, measure, unit, value):
    figure = {"case": f"sql {case}", "measure": measure, "unit": unit, "server": "pathway", "median": round(value, 3)}
    print(json.dumps(figure), flush=True)


def group(pw, orders):
    return orders.groupby(pw.this.region).reduce(
        who=pw.this.region,
        orders=pw.reducers.count(),
        total=pw.reducers.sum(pw.this.total),
        mean=pw.reducers.avg(pw.this.total),
    )


def window(pw, orders):
    later = orders.copy()
    pairs = orders.interval_join(
        later,
        orders.time,
        later.time,
        pw.temporal.interval(-3_600_000, 0),
        orders.customer == later.customer,
    ).select(number=orders.number, who=orders.customer, total=later.total)
    return pairs.groupby(pw.this.number, pw.this.who).reduce(
        who=pw.this.who, orders=pw.reducers.count(), total=pw.reducers.sum(pw.this.total)
    )


def schemas(pw):
    class Order(pw.Schema):
        number: int = pw.column_definition(primary_key=True)
        region: str
        total: float

    class Timed(pw.Schema):
        number: int = pw.column_definition(primary_key=True)
        customer: int
        time: int
        total: int

    return {"group": Order, "load": Order, "window": Timed}


def documents(case, sizes):
    """The change with a number, for a case."""
    if case == "window":
        return lambda number: {
            "number": number,
            "customer": scattered(number) % sizes.customers,
            "time": number * 4,
            "total": number % 1000,
        }
    return order


def from_file(case, sizes):
    """How fast it works off what is in a file."""
    import pathway as pw

    count = sizes.rows if case == "load" else sizes.changes
    make = documents(case, sizes)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "changes.jsonl")
        with open(path, "w") as file:
            file.writelines(json.dumps(make(number)) + "\n" for number in range(count))
        orders = pw.io.jsonlines.read(path, schema=schemas(pw)[case], mode="static")
        answer = window(pw, orders) if case == "window" else group(pw, orders)
        pw.io.null.write(answer)
        began = time.perf_counter()
        pw.run(monitoring_level=pw.MonitoringLevel.NONE)
        took = time.perf_counter() - began
    if case == "load":
        say(case, "until it answers", "ms", took * 1000)
    else:
        say(case, "mill", "/s", count / took)


def at_a_rate(case, sizes):
    """How soon a change is seen while others come at a fixed rate, or as fast as Python makes them."""
    import pathway as pw

    make = documents(case, sizes)
    sent, times, written = {}, [], [0]
    lock = threading.Lock()

    class Changes(pw.io.python.ConnectorSubject):
        def run(self):
            began, number, probe = time.perf_counter(), 0, 0
            while (elapsed := time.perf_counter() - began) < sizes.seconds:
                due = int(elapsed * sizes.rate)
                for number in range(number, due):
                    self.next(**make(number))
                number = max(number, due)
                if elapsed > probe * 0.025:
                    probe += 1
                    change = make(1_000_000_000 + probe)
                    who = f"probe {probe}" if case != "window" else -probe
                    change["customer" if case == "window" else "region"] = who
                    if case == "window":
                        change["time"] = number * 4
                    with lock:
                        sent[who] = time.perf_counter()
                    self.next(**change)
                time.sleep(0.001)
            written[0] = number / elapsed

    orders = pw.io.python.read(Changes(), schema=schemas(pw)[case], autocommit_duration_ms=2)
    answer = window(pw, orders) if case == "window" else group(pw, orders)

    def seen(key, row, time_, is_addition):
        now = time.perf_counter()
        with lock:
            began = sent.pop(row["who"], None)
        if began is not None:
            times.append((now - began) * 1000)

    pw.io.subscribe(answer, on_change=lambda key, row, time, is_addition: seen(key, row, time, is_addition))
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    times.sort()
    say(case, "written at a rate", "/s", written[0])
    if times:
        say(case, "visible p50", "ms", times[len(times) // 2])
        say(case, "visible p99", "ms", times[min(len(times) - 1, len(times) * 99 // 100)])


def shuffled(number, many):
    """Another number for each of the first so many, in an order that looks random."""
    return number * 2_654_435_761 % many


def join(case, sizes):
    """Two streams of changes on a key: each side's rows, and for `update` then new amounts of random rows."""
    import pathway as pw

    class Row(pw.Schema):
        number: int = pw.column_definition(primary_key=True)
        amount: int

    ready, marks = [threading.Event(), threading.Event()], {}

    class Side(pw.io.python.ConnectorSubject):
        def __init__(self, side):
            super().__init__()
            self.side = side

        def run(self):
            if case == "join":
                marks.setdefault("began", time.perf_counter())
            for number in range(sizes.rows):
                self.next(number=shuffled(number, sizes.rows) if self.side else number, amount=1)
            if case == "join":
                return
            ready[self.side].set()
            ready[1 - self.side].wait()
            marks.setdefault("began", time.perf_counter())
            for number in range(sizes.changes // 2):
                self.next(number=scattered(number * 2 + self.side) % sizes.rows, amount=number + 2)

    left, right = (pw.io.python.read(Side(side), schema=Row, autocommit_duration_ms=10) for side in (0, 1))
    answer = left.join(right, left.number == right.number).select(who=left.number, total=left.amount, paid=right.amount)
    pw.io.null.write(answer)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    changes = 2 * sizes.rows if case == "join" else sizes.changes
    say(case, "mill", "/s", changes / (time.perf_counter() - marks["began"]))


def main():
    parser = argparse.ArgumentParser()
    for name, default in [("changes", 300_000), ("rows", 1_000_000), ("customers", 100_000), ("rate", 20_000), ("seconds", 5)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*", default=["group", "window", "load", "join", "update"])
    sizes = parser.parse_args()
    if sizes.one:
        case, _, how = sizes.one.partition(":")
        two_sided = case in ("join", "update")
        (join if two_sided else at_a_rate if how == "rate" else from_file)(case, sizes)
        return
    for case in sizes.cases:
        for how in {"load": ["file"], "join": ["file"], "update": ["file"]}.get(case, ["file", "rate"]):
            numbers = [f"--{name}={getattr(sizes, name)}" for name in ("changes", "rows", "customers", "rate", "seconds")]
            done = subprocess.run([sys.executable, __file__, "--one", f"{case}:{how}", *numbers])
            if done.returncode:
                print(f"skipped: {case}", file=sys.stderr)


if __name__ == "__main__":
    main()
