"""The registry's verbs answer over the wire what they answer here."""

from taut.faces.verbs import VERBS, load_verb
from taut.ground import wire
from taut.home import Home
from taut.models import (
    RegisteredModel,
    find_model,
    list_gates,
    list_models,
    promote_model,
    record_gate,
    register_folder,
)
from taut.records import GateCheck, GateResult, ModelVersion
from tests.models.conftest import Shelf


def test_arguments_and_results_survive_the_wire(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    check = GateCheck("brier", True, 0.1, 0.2, "0.1, wanted at most 0.2")
    asked = wire.encode({"name": "late", "number": 1, "checks": [check], "champion": None, "gate_id": "g1"})
    told = wire.decode(record_gate.receive(home, asked), GateResult)
    assert told == list_gates(home, "late", 1)[0]
    promoted = promote_model.receive(home, b'{"name": "late", "number": 1, "gated": true}')
    assert wire.decode(promoted, ModelVersion) == find_model(home, "late@champion")
    assert wire.decode(list_models.receive(home, b""), list[RegisteredModel]) == list_models(home)


def test_every_verb_of_the_registry_is_in_the_table(home: Home):
    for name in ("model.register", "model.record", "model.find", "model.files", "model.promote", "gate.record"):
        assert name in VERBS and load_verb(name).name == name
