"""Whatever the scripts say, they ask the catalogue for first."""

from __future__ import annotations

from tests.browser.conftest import OpenPage

SAY_EVERYTHING = """async () => {
  globalThis.django = { gettext: (sentence) => `«${sentence}»`, ngettext: (one, many, n) => `«${n === 1 ? one : many}»` };
  const catalogue = await import("/static/js/shared/words.js?in-another-language");
  // Stands for any number, text or set of them.
  const facts = new Proxy({}, { get: (_, name) => (typeof name === "symbol" ? () => "fact" : String(name)) });
  const groups = Object.entries(catalogue).flatMap(([group, words]) =>
    Object.entries(words).map(([name, word]) => [`${group}.${name}`, typeof word === "function" ? word(facts) : word]));
  return Object.fromEntries(groups);
}"""


def test_every_sentence_of_the_scripts_is_asked_of_the_catalogue(open_page: OpenPage) -> None:
    said = open_page("/chat/").evaluate(SAY_EVERYTHING)
    assert len(said) > 100
    assert {name: words for name, words in said.items() if not (words.startswith("«") and words.endswith("»"))} == {}


def test_every_fact_of_a_sentence_finds_its_place(open_page: OpenPage) -> None:
    said = open_page("/chat/").evaluate(SAY_EVERYTHING)
    assert {name: words for name, words in said.items() if "%(" in words} == {}
