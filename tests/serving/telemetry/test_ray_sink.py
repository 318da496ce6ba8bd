from serving.telemetry.metrics import METRICS, Kind
from serving.telemetry.ray_sink import RaySink


def test_ray_takes_every_declaration_and_every_kind_of_value() -> None:
    sink = RaySink()
    for metric in METRICS:
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind is Kind.COUNTER:
            sink.add(metric, labels=labels)
            sink.add(metric, 0, labels)  # a step without prompt tokens; Ray itself refuses a zero
        elif metric.kind is Kind.GAUGE:
            sink.set(metric, 1.0, labels)
        else:
            sink.observe(metric, 0.0)
