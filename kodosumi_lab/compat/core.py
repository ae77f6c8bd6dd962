"""``kodosumi.core``: what a service imports."""

from __future__ import annotations

from kodosumi_lab import forms, response
from kodosumi_lab.api.launching import Launch
from kodosumi_lab.api.service import ServeAPI
from kodosumi_lab.api.templates import Templates
from kodosumi_lab.errors import InputsError
from kodosumi_lab.errors import KodosumiLabError as KodosumiError
from kodosumi_lab.runtime.mock import TracerMock
from kodosumi_lab.runtime.tracer import Tracer

__all__ = [
    "InputsError",
    "KodosumiError",
    "Launch",
    "ServeAPI",
    "Templates",
    "Tracer",
    "TracerMock",
    "forms",
    "response",
]
