"""Books trades one at a time. Totals and the place in the file are one commit, so a kill at any moment books no trade twice."""
import csv
import json
import os
import sys

import flodea

TRADES = "trades.csv"                    # in the bundle, which is the working directory
REPORT = os.path.expanduser("~/report.txt")  # on the agent's encrypted disk
STATE = b"ledger/state"


def load():
    """The booked totals and the version they were written at; version 0 means: nothing booked yet."""
    try:
        entry = flodea.store.get(STATE)
    except flodea.NotFound:
        return {"booked": 0, "totals": {}}, 0
    return json.loads(entry.value), entry.version


def book(state, trade):
    """Adds one trade to the totals, in cents: money is never a float."""
    amount = int(trade["quantity"]) * int(trade["price_cents"])
    sign = -1 if trade["side"] == "buy" else 1
    totals = state["totals"]
    totals[trade["asset"]] = totals.get(trade["asset"], 0) + sign * amount
    state["booked"] += 1


def write_report(state):
    """Replaces the report as one step: readers see the old one or the new one."""
    with open(REPORT + ".new", "w", encoding="utf-8") as report:
        report.write(f"{state['booked']} trades\n")
        for asset, cents in sorted(state["totals"].items()):
            report.write(f"{asset} {cents / 100:+.2f}\n")
        report.flush()
        os.fsync(report.fileno())
    os.rename(REPORT + ".new", REPORT)


def main():
    state, version = load()
    print(f"starting after {state['booked']} booked trades")
    with open(TRADES, newline="", encoding="utf-8") as file:
        trades = list(csv.DictReader(file))
    for trade in trades[state["booked"]:]:
        if flodea.agent.stop_requested():
            break
        book(state, trade)
        version = flodea.store.put(STATE, json.dumps(state).encode(), if_version=version)
        print(f"booked {trade['side']} {trade['quantity']} {trade['asset']}: {state['booked']} of {len(trades)}")
        flodea.clock.sleep(0.02)
    write_report(state)
    print(open(REPORT, encoding="utf-8").read().replace("\n", "; "))
    flodea.agent.wait_stop()
    print("stopped as asked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
