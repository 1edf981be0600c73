"""report.html: what was done in a folder, for who has to see it: readers, decisions, agreement, errors left, models.

It holds everything it shows, runs no script, asks no server and prints; texts are escaped wherever they stand, and
links lead to files beside it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #222; max-width: 1060px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 17px; margin: 28px 0 6px; } h3 { font-size: 14px; margin: 14px 0 2px; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: 3px 8px; }
th { font-weight: 600; border-bottom: 1px solid #888; } td { border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
tr { break-inside: avoid; } .bad { color: #a00000; font-weight: 600; } .old td { color: #777; }
.small { color: #555; font-size: 12px; } a { color: #00569e; }
@media print { body { margin: 0; max-width: none; } a { color: inherit; } thead { display: table-header-group; } }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Told = Mapping[str, Any]


def report_page(told: Told) -> str:
    """told: what `commands.report` found, as report.json has it."""
    sections = (
        ("Records", _records(told)),
        ("Review lists", _reviews(told["reviews"])),
        ("Readers", _readers(told["readers"])),
        ("Cases", _cases(told["cases"])),
        ("Agreement", _sentences(told["agreements"])),
        ("Label errors that are left", _sentences(told["audits"])),
        ("Models, and what they learned from", "".join(_model(model) for model in told["models"])),
        ("Decisions", _history(told["history"])),
    )
    body = "".join(f"<h2>{escape(title)}</h2>\n{text or _nothing()}" for title, text in sections)
    links = ", ".join(f'<a href="{escape(quote(path))}">{escape(path)}</a>' for path in told["pages"])
    about = f"<p>Made {_time(told['made'])} UTC by {escape(told['program'])} from the folder {escape(told['folder'])}."
    about += f" Review lists with pictures: {links}.</p>\n" if links else "</p>\n"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Report on a review</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Report on a review</h1>\n"
        f"{about}{body}</body>\n</html>\n"
    )


def _records(told: Told) -> str:
    good, bad = "<p>", '<p class="bad">'
    lines = [f"{good if log['holds'] else bad}{escape(log['sentence'])}</p>\n" for log in told["logs"]]
    kept = [(log["file"], log["lines"], log["checksum"]) for log in told["logs"]]
    table = _table(("Log", "Lines", "Checksum of the last"), kept)
    return "".join(lines) + (f'{table}<p class="small">{escape(told["limits"])}</p>\n' if kept else "")


def _reviews(reviews: Sequence[Told]) -> str:
    rows = [(one["folder"], one["rows"], one["program"], one["weights"]) for one in reviews]
    return _table(("Folder", "Rows", "Made by", "Model (hash of its weights)"), rows)


def _readers(readers: Sequence[Told]) -> str:
    rows = [
        (
            reader["name"],
            "; ".join(reader["roles"]),
            "; ".join(reader["instructions"]),
            reader["decisions"],
            reader["sign_offs"],
            _time(reader["first"]),
            _time(reader["last"]),
        )
        for reader in readers
    ]
    head = ("Reader", "Role", "Instruction", "Decisions", "Signed off", "First (UTC)", "Last (UTC)")
    return _table(head, rows)


def _cases(cases: Sequence[Told]) -> str:
    rows = []
    for case in cases:
        decided = ", ".join(f"{name} {count}" for name, count in case["decided"].items())
        scores = "; ".join(
            f"{s['score']} ({s['words']}) by {s['reader']}, {_time(s['at'])}"
            + (f": {s['reason']}" if s["reason"] else "")
            for s in case["scores"]
        )
        rows.append((case["folder"], case["name"], case["rows"], decided, scores))
    return _table(("Folder", "Case", "Rows", "Decided", "Verdict and sign-off"), rows)


def _sentences(found: Sequence[Told]) -> str:
    text = ""
    for one in found:
        text += f"<h3>{escape(one['file'])}</h3>\n"
        text += "".join(f"<p>{escape(sentence)}</p>\n" for sentence in one["sentences"])
    return text


def _model(model: Told) -> str:
    facts: dict[str, Any] = {
        "Weights (hash)": model["weights"],
        "Made": f"{_time(model['made'])} UTC by {model['program']}",
        "Comes from": ", ".join(model["parents"]) or "random weights",
        "Learned from": model["learned_from"],
        "Confirmed by readers": model["confirmed"],
        "Of these reviews": ", ".join(model["reviewed_here"]) or "no case that was decided about here",
    }
    if not model["made"]:
        facts = {"Weights (hash)": model["weights"], "Lineage": "not known: this model came without one"}
    if model["problem"]:
        facts = {"Problem": model["problem"]}
    rows = [*facts.items(), *(("Found", sentence) for sentence in model["figures"])]
    return f"<h3>{escape(model['folder'])}</h3>\n{_table((), rows)}"


def _history(entries: Sequence[Told]) -> str:
    rows, old = [], []
    for entry in entries:
        what = " ".join(str(part) for part in (entry["rank"] or "", entry["class_name"], entry["suspicion"]) if part)
        state = entry["state"]
        words = entry["verdict"] + (f" ({state})" if state else "")
        signed = ", ".join(part for part in (entry["role"], entry["instruction"]) if part)
        rows.append((_time(entry["at"]), entry["who"], signed, entry["case"], what, words, entry["reason"]))
        old.append(bool(state))
    head = ("When (UTC)", "Who", "Role, instruction", "Case", "Row", "Decided", "Why")
    return _table(head, rows, old)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], old: Sequence[bool] = ()) -> str:
    listed = list(rows)
    if not listed:
        return ""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = []
    for n, row in enumerate(listed):
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
        opening = '<tr class="old">' if n < len(old) and old[n] else "<tr>"
        lines.append(f"{opening}{cells}</tr>\n")
    thead = f"<thead><tr>{top}</tr></thead>\n" if head else ""
    return f"<table>{thead}<tbody>\n{''.join(lines)}</tbody></table>\n"


def _nothing() -> str:
    return "<p>None in this folder.</p>\n"


def _time(at: str) -> str:
    return at[:16].replace("T", " ")
