"""Output for people: aligned columns and short ages, as kubectl prints them."""

from collections.abc import Sequence
from typing import Any

_GAP = "   "
_POOL_DEFAULT = "<default of the pool>"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows below upper-case headings, columns padded to their widest cell."""
    cells = [[heading.upper() for heading in columns]]
    cells += [["<none>" if cell in (None, "") else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = [_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def age(since: float | None, now: float) -> str:
    """Return how long ago something was, in the two largest units: 45s, 3m12s, 2h5m, 4d."""
    if since is None:
        return "<none>"
    seconds = max(int(now - since), 0)
    if seconds < 120:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 120:
        return f"{minutes}m{seconds}s" if minutes < 10 and seconds else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes}m" if hours < 10 and minutes else f"{hours}h"
    return f"{hours // 24}d"


def pools(items: Sequence[dict[str, Any]], now: float) -> str:
    """Return a table of pools."""
    columns = ("name", "id", "workers", "online", "cycling", "queued", "active", "age")
    rows = [
        (
            item["name"],
            item["id"],
            item["workers"],
            item["onlineWorkers"],
            item["cyclingWorkers"],
            item["queuedRuns"],
            item["activeRuns"],
            age(item["createdAt"], now),
        )
        for item in items
    ]
    return table(columns, rows)


def workers(items: Sequence[dict[str, Any]], now: float) -> str:
    """Return a table of workers."""
    rows = [
        (item["id"], item["poolName"], item["state"], item["run"], age(item["registeredAt"], now))
        for item in items
    ]
    return table(("id", "pool", "state", "run", "age"), rows)


def runs(items: Sequence[dict[str, Any]], now: float) -> str:
    """Return a table of runs."""
    rows = [
        (
            item["id"],
            item["poolName"],
            item["state"],
            (item["outcome"] or {}).get("reason"),
            item["worker"],
            age(item["createdAt"], now),
        )
        for item in items
    ]
    return table(("id", "pool", "state", "reason", "worker", "age"), rows)


def _ending(outcome: dict[str, Any]) -> list[str]:
    codes = ", ".join(f"{name} {code}" for name, code in sorted((outcome.get("exitCodes") or {}).items()))
    return [
        f"Reason:    {outcome.get('reason', '<none>')}",
        f"Message:   {outcome.get('message') or '<none>'}",
        f"Exits:     {codes or '<none>'}",
        f"Worker:    {outcome.get('worker') or '<none>'}",
        f"Pod UID:   {outcome.get('podUID') or '<none>'}",
    ]


def run(item: dict[str, Any], now: float) -> str:
    """Return everything about one run."""
    source = item["source"] or {}
    lines = [
        f"ID:        {item['id']}",
        f"Pool:      {item['poolName']}",
        f"State:     {item['state']}{' (stop requested)' if item['stopRequested'] and not item['finished'] else ''}",
        *_ending(item["outcome"] or {}),
        f"Source:    {source.get('url', '<none>')} {source.get('ref', '')}".rstrip(),
        f"Image:     {item['runnerImage'] or _POOL_DEFAULT}",
        f"Tool:      {item['tool'] or '<none>'}",
        f"Commands:  {'; '.join(item['commands'])}",
        f"Variables: {', '.join(item['environment']) or '<none>'}",
        "",
        table(
            ("position", "state", "age"),
            [(entry["position"], entry["state"], age(entry["at"], now)) for entry in item["history"]],
        ),
    ]
    attempts = [
        (
            entry["sequence"],
            entry["worker"],
            entry["state"],
            "yes" if entry["granted"] else "no",
            (entry["outcome"] or {}).get("reason"),
            (entry["outcome"] or {}).get("message"),
        )
        for entry in item["attempts"]
    ]
    if attempts:
        lines += ["", table(("sequence", "worker", "attempt", "started", "reason", "message"), attempts)]
    return "\n".join(lines)
