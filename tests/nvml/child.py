"""Asks models_app.hardware.nvidia and the telemetry what it is told on standard input; time goes by only when it is told so."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from inference.host.telemetry.readings import Machine
from models_app.hardware.nvidia import Nvml, nvidia_gpus


def main() -> None:
    now = 0.0
    nvml = Nvml(lambda: now)
    machine = Machine(lambda: now)
    for line in sys.stdin:
        question, *arguments = line.split()
        if question == "pass":
            now += float(arguments[0])
            answer: object = now
        elif question == "read":
            answer = [asdict(each) for each in nvml.read()]
        elif question == "cards":
            places = {f"gpu{number}": bus_id for number, bus_id in enumerate(arguments)}
            found = machine.read([], places).gpus
            answer = {device: card.name for device, card in found.items()}
        elif question == "gpus":
            answer = [asdict(each) for each in nvidia_gpus()]
        else:
            answer = "pynvml" in sys.modules
        print(json.dumps(answer), flush=True)
    machine.close()
    nvml.close()


if __name__ == "__main__":
    main()
