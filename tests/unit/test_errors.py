"""InputsError serves launches and services alike, and survives pickling."""

from __future__ import annotations

import pickle

import pytest

from kodosumi_lab.errors import InputsError, KodosumiLabError


def test_a_service_gathers_messages_and_asks_whether_there_are_any():
    error = InputsError()
    assert not error
    error.add(name="is taken", age=["is 3", "is too few"])
    error.add(name="is short")
    error.flash("try again")
    assert error
    assert error.has_errors()
    assert error.errors == {
        "name": ["is taken", "is short"], "age": ["is 3", "is too few"], "_global_": ["try again"]
    }  # fmt: skip
    assert InputsError(name="is taken").errors == {"name": ["is taken"]}
    assert InputsError(self="a field may be called so").errors == {"self": ["a field may be called so"]}


def test_positional_messages_alone_leave_it_false_and_join_the_global_ones():
    error = InputsError("one", "two")
    assert not error
    assert error.errors == {}
    assert error.args == ("one", "two")
    assert str(error) == "one; two"
    error.flash("three")
    assert error.messages == {"_global_": ["three", "one", "two"]}
    assert InputsError(a="x").messages == {"a": ["x"], "_global_": []}


def test_a_refused_launch_names_its_flow_and_each_field():
    error = InputsError.of({"n": ["is 3", "is odd"]}, flow="primes")
    assert str(error) == "inputs of flow 'primes' do not fit, nothing was started:\n  n: is 3; is odd"
    with pytest.raises(ValueError, match="n: is 3"):
        raise error
    assert isinstance(error, KodosumiLabError)


def test_it_survives_pickling():
    error = InputsError("m", n="is 3")
    error.flow = "primes"
    again = pickle.loads(pickle.dumps(error))
    assert (again.args, again.errors, again.flow, str(again)) == (error.args, error.errors, "primes", str(error))
