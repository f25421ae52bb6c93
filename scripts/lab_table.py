"""What a scenario of the lab says: rows of a figure, its limit and whether it holds.

A row without a limit is there to be read. A scenario fails when a row with a limit does; `--json` writes
each row and the outcome as an object on a line of its own.
"""

import json

MIB = 1 << 20


class Table:
    """The rows of one scenario."""

    def __init__(self, scenario, title, as_json=False):
        self.scenario, self.title, self.as_json, self.rows = scenario, title, as_json, []
        if not as_json:
            print(f"\n{scenario}: {title}", flush=True)

    def row(self, what, figure, unit="", most=None, least=None, budget=""):
        """Adds and shows a row; `most` and `least` are limits, `budget` says whose they are."""
        holds = None
        if most is not None or least is not None:
            holds = (figure is not None and (most is None or figure <= most)
                     and (least is None or figure >= least))
        row = {"scenario": self.scenario, "what": what, "figure": figure, "unit": unit,
               "most": most, "least": least, "budget": budget, "holds": holds}
        self.rows.append(row)
        if self.as_json:
            print(json.dumps({"type": "row", **row}), flush=True)
        else:
            print(shown(row), flush=True)

    def note(self, text):
        if not self.as_json:
            print(f"  {text}", flush=True)

    def passed(self):
        good = all(row["holds"] is not False for row in self.rows)
        if self.as_json:
            print(json.dumps({"type": "outcome", "scenario": self.scenario, "title": self.title,
                              "passed": good}), flush=True)
        else:
            print(f"  {'PASS' if good else 'FAIL'} {self.scenario}", flush=True)
        return good


def number(figure):
    if figure is None:
        return "-"
    if isinstance(figure, str):
        return figure
    if isinstance(figure, int):
        return f"{figure:,}"
    return f"{figure:.4g}" if abs(figure) < 1000 else f"{figure:,.0f}"


def shown(row):
    limits = []
    if row["most"] is not None:
        limits.append(f"at most {number(row['most'])}")
    if row["least"] is not None:
        limits.append(f"at least {number(row['least'])}")
    verdict = {None: "", True: "PASS", False: "FAIL"}[row["holds"]]
    budget = f" ({row['budget']})" if row["budget"] else ""
    limit = " and ".join(limits) + budget
    return f"  {row['what']:<46} {number(row['figure']):>10} {row['unit']:<8} {limit:<34} {verdict}".rstrip()
