"""Print the message of the commit that keeps the inventory, made from the run's report."""

import json
import os
from pathlib import Path

report = json.loads(Path(os.environ["RUNNER_TEMP"], "report.json").read_text("utf-8"))
objects = "1 object" if report["discovered"] == 1 else f"{report['discovered']} objects"
print(f"Keep the B2 inventory: {objects}, {report['new']} new in D1")
print()
for name in ("run_id", "discovered", "new", "inserted", "deferred", "listing_sha256"):
    print(f"{name}: {report[name]}")
