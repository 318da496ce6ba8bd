from prometheus_client.parser import text_string_to_metric_families

from serving.telemetry import metrics
from serving.telemetry.prometheus import PrometheusSink


def _samples(sink: PrometheusSink) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(sink.exposition().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_counters_gauges_and_histograms_are_exposed_under_their_names() -> None:
    sink = PrometheusSink()
    sink.add(metrics.PROMPT_TOKENS, 5)
    sink.add(metrics.REFUSED, labels={"reason": "queue_full"})
    sink.set(metrics.WAITING, 3)
    sink.observe(metrics.INTER_TOKEN_LATENCY, 0.02)
    samples = _samples(sink)
    assert samples["chatbot_prompt_tokens_total", ()] == 5
    assert samples["chatbot_request_refused_total", (("reason", "queue_full"),)] == 1
    assert samples["chatbot_num_requests_waiting", ()] == 3
    assert samples["chatbot_inter_token_latency_seconds_bucket", (("le", "0.025"),)] == 1
    assert samples["chatbot_inter_token_latency_seconds_bucket", (("le", "0.01"),)] == 0


def test_two_sinks_in_one_process_keep_their_figures_apart() -> None:
    first, second = PrometheusSink(), PrometheusSink()
    first.add(metrics.CANCELLED)
    assert _samples(second)["chatbot_request_cancelled_total", ()] == 0
