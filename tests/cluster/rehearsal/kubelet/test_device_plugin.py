from __future__ import annotations

from typing import Any

from cluster.rehearsal.kubelet.device_plugin import INSTANCE_TYPE, amounts, missing

TRN1 = {"aws.amazon.com/neuron": "1", "aws.amazon.com/neurondevice": "1", "aws.amazon.com/neuroncore": "2"}


def node(instance_type: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {INSTANCE_TYPE: instance_type}}, "status": status}


def test_a_node_gets_what_its_instance_type_has() -> None:
    assert amounts(node("trn1.2xlarge")) == TRN1
    assert amounts(node("inf2.24xlarge"))["aws.amazon.com/neuroncore"] == "12"


def test_a_node_without_neuron_devices_gets_nothing() -> None:
    assert amounts(node("m5.large")) == {}
    assert amounts(node("unknown.type")) == {}


def test_both_capacity_and_allocatable_have_to_say_it() -> None:
    assert missing(node("trn1.2xlarge"), TRN1)
    assert missing(node("trn1.2xlarge", capacity=TRN1), TRN1)
    assert not missing(node("trn1.2xlarge", capacity=TRN1, allocatable={**TRN1, "cpu": "8"}), TRN1)
