"""What one request asks of a loaded variant: sampling, limits and output shape, with llama.cpp's and OpenAI's spellings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

_FLOAT_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 5.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (0.01, 10.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
}
_INT_RANGES: dict[str, tuple[int, int]] = {
    "top_k": (0, 1_000_000),
    "repeat_last_n": (0, 1_000_000),
    "seed": (0, 2**32 - 2),
    "max_tokens": (1, 4_194_304),
}
MOST_STOP_STRINGS = 16
LONGEST_STOP_STRING = 256
LONGEST_GRAMMAR = 200_000
MOST_LOGIT_BIASES = 1_000


class BadParameter(ValueError):
    """A request parameter is unknown, of the wrong type or out of range. The message names it, the value and what would do."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        shown = repr(value)
        super().__init__(f"{name}={shown if len(shown) <= 80 else shown[:77] + '...'}: expected {allowed}")
        self.name = name
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """Sampling of one request. `None` means: not set, so the variant's or llama.cpp's default holds.

    `temperature=0` is greedy. `logit_bias` maps token ids to an additive bias (-100 to 100, where -100 bans).
    `json_schema` and `grammar` (GBNF) exclude each other.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    json_schema: Mapping[str, Any] | None = None
    grammar: str | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _FLOAT_RANGES.items():
            value = getattr(self, name)
            # The comparison refuses NaN too, and holds for whole numbers that no float can carry.
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise BadParameter(name, value, f"a number from {low:g} to {high:g}")
        for name, (least, most) in _INT_RANGES.items():
            value = getattr(self, name)
            if value is None and name in ("seed", "max_tokens"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise BadParameter(name, value, f"a whole number from {least} to {most}")
        if not isinstance(self.stop, tuple) or len(self.stop) > MOST_STOP_STRINGS:
            raise BadParameter("stop", self.stop, f"at most {MOST_STOP_STRINGS} strings")
        for text in self.stop:
            if not isinstance(text, str) or not 0 < len(text) <= LONGEST_STOP_STRING:
                raise BadParameter("stop", text, f"strings of 1 to {LONGEST_STOP_STRING} characters")
        if not isinstance(self.logit_bias, Mapping) or len(self.logit_bias) > MOST_LOGIT_BIASES:
            raise BadParameter("logit_bias", self.logit_bias, f"an object of at most {MOST_LOGIT_BIASES} token ids")
        for token, bias in self.logit_bias.items():
            if isinstance(token, bool) or not isinstance(token, int) or token < 0:
                raise BadParameter("logit_bias", token, "token ids: whole numbers from 0")
            if isinstance(bias, bool) or not isinstance(bias, int | float) or not -100 <= bias <= 100:
                raise BadParameter("logit_bias", bias, "biases from -100 to 100")
        if self.json_schema is not None and not isinstance(self.json_schema, Mapping):
            raise BadParameter("json_schema", self.json_schema, "a JSON schema object")
        if self.grammar is not None and (not isinstance(self.grammar, str) or len(self.grammar) > LONGEST_GRAMMAR):
            raise BadParameter("grammar", self.grammar, f"GBNF text of at most {LONGEST_GRAMMAR} characters")
        if self.json_schema is not None and self.grammar is not None:
            raise BadParameter("grammar", "…", "either grammar or json_schema, not both")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GenerationOptions:
        """The options in `values`, defaults for the rest (a JSON null is a default too). Raises BadParameter."""
        known = {each.name for each in fields(cls)}
        chosen: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise BadParameter(name, value, "one of " + ", ".join(sorted(known)))
            if value is None:
                continue
            if name == "stop":
                if isinstance(value, str):
                    value = (value,)
                elif isinstance(value, list | tuple):
                    value = tuple(value)
                else:
                    raise BadParameter(name, value, "a string or a list of strings")
            elif name == "logit_bias":
                if not isinstance(value, Mapping):
                    raise BadParameter(name, value, "an object of token ids and biases")
                try:
                    value = {int(token): bias for token, bias in value.items()}
                except (TypeError, ValueError):
                    raise BadParameter(name, value, "token ids: whole numbers from 0") from None
            chosen[name] = value
        return cls(**chosen)

    def to_json(self) -> dict[str, Any]:
        """A mapping that from_json takes back, ready for JSON."""
        values = asdict(self)
        values["stop"] = list(self.stop)
        values["logit_bias"] = {str(token): bias for token, bias in self.logit_bias.items()}
        return values
