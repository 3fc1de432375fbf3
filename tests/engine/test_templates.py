"""Chat templates: the published ones render as published, a stranger's can do no harm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.engine.chat.template import ChatTemplate, TemplateFailed
from inference.engine.chat.template_client import PATIENCE_SECONDS, Renderer, RenderFailed

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "", "pad_token": ""}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is 1 < 2 & 3 > 2? <b>Really</b>?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Ça alors! 🙂"},
]

REFUSES_SYSTEM = {"google-gemma-2-2b-it.jinja": "System role not supported"}
NEEDS_MORE = {
    # This one dates every prompt and has no default for it.
    "fireworks-ai-llama-3-firefunction-v2.jinja",
}
DROPS_SYSTEM: set[str] = set()


def render(source: str, messages: list[dict[str, str]] | None = None) -> str:
    return ChatTemplate(source).render(CHAT if messages is None else messages, SPECIAL)


def test_every_published_template_renders_a_chat_or_says_why_not(llama_sdist: Path) -> None:
    templates = sorted((llama_sdist / "vendor/llama.cpp/models/templates").glob("*.jinja"))
    assert len(templates) >= 70
    failed = {}
    for path in templates:
        try:
            prompt = render(path.read_text())
        except TemplateFailed as error:
            failed[path.name] = error
            continue
        assert "Is 1 < 2 & 3 > 2? <b>Really</b>?" in prompt, path.name
        assert prompt.rindex("Ça alors! 🙂") > prompt.rindex("Yes."), path.name
    for name, words in REFUSES_SYSTEM.items():
        failure = failed.pop(name)
        assert failure.in_its_words
        assert failure.detail == words
        path = llama_sdist / "vendor/llama.cpp/models/templates" / name
        assert "Ça alors! 🙂" in render(path.read_text(), CHAT[1:])
    assert set(failed) <= NEEDS_MORE, {name: failure.detail for name, failure in failed.items()}


def test_white_space_is_hugging_faces() -> None:
    source = (
        "{% for m in messages %}\n  {% if true %}\n{{ m.role }}:{{ m['content'] }}\n  {% endif %}\n{% endfor %}\nA:"
    )
    assert render(source, [{"role": "user", "content": "x"}]) == "user:x\nA:"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "<s>Be brief.</s>"),
        ("{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "system"),
        ("{{ {'a': '<é>'} | tojson }}", '{"a": "<é>"}'),
        ("{% generation %}{{ messages[2].content }}{% endgeneration %}", "Yes."),
        ("{% if add_generation_prompt %}A{% endif %}{{ tools }}", "ANone"),
        ("{{ strftime_now('%%') }}", "%"),
        ("{{ messages | length }}{{ nothing }}{{ nothing is defined }}", "4False"),
    ],
)
def test_what_templates_expect_is_there(source: str, expected: str) -> None:
    assert render(source) == expected


def test_a_refusal_comes_in_the_templates_own_words() -> None:
    with pytest.raises(TemplateFailed) as failure:
        render("{{ raise_exception('Roles must alternate') }}")
    assert failure.value.in_its_words
    assert failure.value.detail == "Roles must alternate"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ self.__init__.__globals__['__builtins__'].open('/etc/passwd').read() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ ('{0.__class__.__init__.__globals__}').format(raise_exception) }}",
        "{{ (messages | map(attribute='__class__') | list)[0].__base__ }}",
        "{% set x = messages.append({}) %}{{ x }}",
        "{{ messages[0].update({'content': 'x'}) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_a_template_that_reaches_out_of_the_sandbox_gets_nothing(source: str) -> None:
    try:
        rendered = render(source)
    except TemplateFailed:
        return
    assert not any(word in rendered for word in ("root:", "subprocess", "builtins", "class '"))


@pytest.mark.parametrize("source", ["{% if %}", "{{ 'x' ", "{% for x in %}", "{% endfor %}", "{{ " + "(" * 5000])
def test_a_template_that_does_not_compile_says_so(source: str) -> None:
    with pytest.raises(TemplateFailed) as failure:
        ChatTemplate(source)
    assert failure.value.detail


# in the process with limits -----------------------------------------------------------------------------------

GREEDY = {
    "an endless loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a number that never ends": "{% set a = 9 %}{{ a ** (a ** a) }}",
    "a long string": "{{ 'x' * 10 ** 11 }}",
    "a padded string": "{{ 'x'.ljust(10 ** 11) }}",
    "a formatted string": "{{ '%099999999999d' | format(1) }}",
    "doubling": "{% set n = namespace(x='x') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "a long list": "{{ ([1] * 10 ** 11) | length }}",
    "much output": "{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
    "deep recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
}


@pytest.fixture
async def kind() -> AsyncIterator[Renderer]:
    """A renderer with a template that echoes the last message as a template of its own would."""
    renderer = Renderer()
    await renderer.compile("{{ messages[-1].content }}")
    yield renderer
    renderer.close()


@pytest.mark.parametrize("source", GREEDY.values(), ids=GREEDY)
async def test_a_template_that_takes_too_much_is_ended_and_the_next_request_is_served(source: str) -> None:
    renderer = Renderer()
    try:
        await renderer.compile("{% if messages[0].role == 'user' %}fine{% else %}" + source + "{% endif %}")
        began = time.monotonic()
        with pytest.raises(RenderFailed) as failure:
            await renderer.render(CHAT, SPECIAL)
        assert failure.value.detail
        assert time.monotonic() - began < PATIENCE_SECONDS + 10
        assert await renderer.render(CHAT[1:], SPECIAL) == "fine"
    finally:
        renderer.close()


async def test_an_endless_template_is_called_slow(kind: Renderer) -> None:
    slow = Renderer()
    try:
        await slow.compile(GREEDY["an endless loop"])
        with pytest.raises(RenderFailed) as failure:
            await slow.render(CHAT, SPECIAL)
        assert failure.value.timed_out
        assert await kind.render(CHAT, SPECIAL) == "Ça alors! 🙂"
    finally:
        slow.close()


async def test_a_template_that_does_not_compile_leaves_schemas_working() -> None:
    renderer = Renderer()
    try:
        with pytest.raises(RenderFailed):
            await renderer.compile("{{ 9 ** (9 ** 9) }}{% if %}")
        assert "root ::=" in await renderer.convert_schema({"type": "integer"})
    finally:
        renderer.close()


async def test_requests_are_rendered_in_turn_and_not_mixed_up(kind: Renderer) -> None:
    asked = [kind.render([{"role": "user", "content": f"<{number}>"}], SPECIAL) for number in range(20)]
    assert await asyncio.gather(*asked) == [f"<{number}>" for number in range(20)]


async def test_a_request_that_is_given_up_does_not_answer_the_next_one(kind: Renderer) -> None:
    asked = asyncio.create_task(kind.render([{"role": "user", "content": "old"}], SPECIAL))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert await kind.render([{"role": "user", "content": "new"}], SPECIAL) == "new"


async def test_a_schema_becomes_a_grammar_or_an_error(kind: Renderer) -> None:
    assert "root ::=" in await kind.convert_schema({"type": "integer"})
    with pytest.raises(RenderFailed):
        await kind.convert_schema({"type": "array", "items": {"type": "string"}, "minItems": 10**10})
    assert "root ::=" in await kind.convert_schema({"type": "boolean"})


async def test_a_renderer_that_dies_is_replaced(kind: Renderer) -> None:
    kind.kill()
    with pytest.raises(RenderFailed):
        await kind.render(CHAT, SPECIAL)
    assert await kind.render(CHAT, SPECIAL) == "Ça alors! 🙂"
