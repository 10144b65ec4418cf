"""What the function wrote, read line by line: records, and metrics in the embedded metric format."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

# As RFC 3339 has them; Lambda takes a line's own level only with such a time.
TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
UNITS = {"Count", "Milliseconds"}
OUTCOMES = {"RunSucceeded", "RunFailed", "DailyRunSucceeded"}


class Emf(NamedTuple):
    """One line of metrics: where they go, and each one's value and unit."""

    namespace: str
    dimensions: dict[str, str]
    metrics: dict[str, tuple[float, str]]

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> Self:
        """Read a line as CloudWatch does, and refuse what it would drop.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        """
        told = line["_aws"]
        assert set(told) == {"Timestamp", "CloudWatchMetrics"}
        assert isinstance(told["Timestamp"], int)
        assert 1.6e12 < told["Timestamp"] < 4e12  # milliseconds
        (directive,) = told["CloudWatchMetrics"]
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert re.fullmatch(r"[\w./#:-]{1,256}", directive["Namespace"])
        (names,) = directive["Dimensions"]
        assert 0 < len(names) <= 30
        dimensions = {name: line[name] for name in names}
        assert all(isinstance(value, str) and 0 < len(value) <= 1024 for value in dimensions.values())
        assert 0 < len(directive["Metrics"]) <= 100
        metrics = {}
        for metric in directive["Metrics"]:
            assert set(metric) == {"Name", "Unit"}
            assert re.fullmatch(r"\w{1,1024}", metric["Name"])
            assert metric["Unit"] in UNITS
            (value,) = line[metric["Name"]]
            assert isinstance(value, float)
            metrics[metric["Name"]] = (value, metric["Unit"])
        assert len(metrics) == len(directive["Metrics"])
        # Whatever else stands in such a line would be a field by chance.
        assert set(line) == {"_aws", *dimensions, *metrics}
        return cls(directive["Namespace"], dimensions, metrics)


class FunctionLog(NamedTuple):
    """An invocation's records and lines of metrics; `recorded` is what Lambda's runtime adds of a failure."""

    records: list[dict[str, Any]]
    emf: list[Emf]
    recorded: list[dict[str, Any]]

    @classmethod
    def read(cls, lines: Iterable[str]) -> Self:
        """Read every line: each must be one JSON object of a known form."""
        log = cls([], [], [])
        for line in lines:
            parsed = json.loads(line)
            if "_aws" in parsed:
                log.emf.append(Emf.read(parsed))
            elif "errorType" in parsed:
                log.recorded.append(parsed)
            else:
                assert isinstance(parsed["message"], str)
                assert TIMES.fullmatch(parsed["timestamp"])
                log.records.append(parsed)
        return log

    @property
    def metrics(self) -> dict[str, float]:
        """Return the value of every metric; there is one line of them for an invocation."""
        (emf,) = self.emf
        return {name: value for name, (value, _) in emf.metrics.items()}

    @property
    def outcome(self) -> set[str]:
        """Name the metrics that say how it ended."""
        assert all(self.metrics[name] == 1 for name in OUTCOMES & set(self.metrics))
        return OUTCOMES & set(self.metrics)

    @property
    def levels(self) -> set[str]:
        """Name the levels of the records."""
        return {record["level"] for record in self.records}

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Return what was logged as an error: the kind and the message."""
        return [
            (record.get("error", record.get("exception_name", "")), record["message"])
            for record in self.records
            if record["level"] == "ERROR"
        ]
