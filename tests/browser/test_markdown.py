"""What Markdown looks like: finished, while it grows, and that both end up the same."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ask
from tests.browser.stage import Stage

DOCUMENT = r"""# A title

Some *emphasis*, **strong words**, `code`, ~~struck~~ and a [link](https://example.org/a_(b)) in one paragraph
that goes on in a second line, with 2 * 3 * 4, snake_case_name, a price of $5 or $10, and math $e^{i\pi} = -1$.

Setext heading
--------------

1. First
2. Second, with a
   second line
   - nested `one`
   - nested **two**

     with a paragraph
3. Third

* loose

* items

```python
def f(x):
    return "```" if x else None  # a fence in a string
```

~~~
plain ``` fence
~~~

| Left | Right | Escaped \| pipe |
|:-----|------:|-----------------|
| a    | **1** | `x`             |
| b    | $x^2$ | y               |

> A quote
> over two lines
>
> - with a list

$$
\sum_{k=1}^{n} k = \frac{n(n+1)}{2}
$$

Inline display \[x^2\] and \(y^2\) and $$z^2$$ too.

- [ ] to do
- [x] done

<div>raw html</div>

Line with a break\
and more. Unicode: 日本語 🧮 naïve.

---

Footer with a [reference][ref] and <https://example.org/auto>.

[ref]: https://example.org/ref "Title"
"""

SHOW = """async ([text, live]) => {
  const { Prose } = await import("/static/js/chat/prose.js");
  const root = document.createElement("div");
  root.className = "prose";
  document.body.append(root);
  new Prose(root).show(text, live);
  return root.textContent.trim() ? root.outerHTML : "";
}"""


def shown(page: Page, text: str, *, live: bool = False) -> Any:
    """A locator of `text` as it is rendered."""
    page.evaluate(SHOW, [text, live])
    return page.locator("body > .prose").last


@pytest.mark.parametrize("seed", range(4))
def test_a_streamed_text_ends_as_the_whole_text_does(page: Page, seed: int) -> None:
    streamed, whole = page.evaluate(
        """async ([text, seed]) => {
          const { Prose } = await import("/static/js/chat/prose.js");
          await import("/static/vendor/katex/katex.mjs");
          const place = () => document.body.appendChild(document.createElement("div"));
          let state = seed + 1;
          const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
          const [streamed, whole] = [place(), place()];
          new Prose(place()).show("$x$", false); // fetches KaTeX, so that nothing is drawn late below
          await new Promise((resolve) => {
            const wait = () => (document.querySelector("body > div math") ? resolve() : requestAnimationFrame(wait));
            wait();
          });
          const prose = new Prose(streamed);
          for (let length = 0; length < text.length; length += 1 + Math.floor(random() * 12)) prose.show(text.slice(0, length), true);
          prose.show(text, false);
          new Prose(whole).show(text, false);
          const settle = () => [streamed, whole].map((root) => {
            const copy = root.cloneNode(true);
            // Highlighting comes when its library does: the text is what has to agree.
            for (const code of copy.querySelectorAll("pre code")) code.textContent = code.textContent;
            return copy.innerHTML;
          });
          return settle();
        }""",
        [DOCUMENT * 3, seed],
    )
    assert streamed == whole
    assert "<h1>" in whole
    assert "<math" in whole


def test_a_long_answer_touches_only_its_end(page: Page) -> None:
    """About 50,000 tokens: however long the text is, one more paint makes a bounded number of nodes anew."""
    first, last, kept = page.evaluate(
        """async (text) => {
          const { Prose } = await import("/static/js/chat/prose.js");
          const root = document.body.appendChild(document.createElement("div"));
          const counts = [];
          let added = 0;
          const observer = new MutationObserver((records) => {
            for (const record of records) for (const node of record.addedNodes) added += 1 + (node.querySelectorAll?.("*").length ?? 0);
          });
          observer.observe(root, { childList: true, subtree: true, characterData: true });
          const prose = new Prose(root);
          const whole = text.repeat(Math.ceil(200_000 / text.length));
          let firstBlock = null;
          for (let length = 1000; length < whole.length; length += 1000) {
            added = 0;
            prose.show(whole.slice(0, length), true);
            await Promise.resolve();
            added += observer.takeRecords().length;
            counts.push(added);
            firstBlock ??= root.firstElementChild;
          }
          const most = (each) => Math.max(...each);
          return [most(counts.slice(0, 20)), most(counts.slice(-20)), root.firstElementChild === firstBlock && root.childElementCount > 500];
        }""",
        DOCUMENT.replace("[ref]: https://example.org/ref", "ref: https://example.org/ref"),
    )
    assert kept
    assert last <= 1.5 * first


def test_code_is_highlighted_and_copied_with_feedback(stage: Stage, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page, "Code, please.")
    model = stage.answer()
    code = 'def greet(name: str) -> str:\n    return f"Hello, {name}"\n'
    model.say("```python\n", *code.splitlines(keepends=True), "```\n")
    model.done()
    frame = page.locator(".code-frame")
    expect(frame.locator(".hljs-keyword").first).to_have_text("def")
    expect(frame.locator(".code-language")).to_have_text("python")
    expect(frame.locator("code")).to_have_text(code.strip())
    frame.get_by_role("button", name="Copy").click()
    expect(frame.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == code.removesuffix("\n")


def test_copying_works_where_the_clipboard_api_is_missing(stage: Stage, page: Page) -> None:
    """A box on a LAN has no HTTPS, so browsers offer no clipboard API there."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page, "Short, please.")
    model = stage.answer()
    model.say("As you wish.")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("As you wish.")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not here')); }")
    page.locator(".answer").get_by_role("button", name="Copy").click()
    expect(page.locator(".answer").get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "As you wish."


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("It costs $5 and $10.", 0),
        ("Between $5-$10, US$20, or ($5)/($6).", 0),
        ("Set $HOME/bin:$PATH first.", 0),
        (r"Escaped \$x\$ stays.", 0),
        ("`$x$` is code.", 0),
        ("Euler: $e^{i\\pi}+1=0$, and $x$.", 2),
        (r"\(a\), \[b\] and $$c$$ are three.", 3),
        ("$$\nx = y\n$$", 1),
        ("\\[\nx = y\n\\]", 1),
        ("A paragraph\n$$x$$\nand more.", 1),
    ],
)
def test_dollars_are_formulas_only_where_no_price_is_meant(page: Page, text: str, formulas: int) -> None:
    place = shown(page, text)
    if formulas == 0:
        expect(place.locator("code.formula")).to_have_count(0)
    expect(place.locator("math")).to_have_count(formulas)


@pytest.mark.parametrize(
    ("text", "selector", "words"),
    [
        ("Some **bold", "strong", "bold"),
        ("Some **bold*", "strong", "bold"),
        ("An *emphasis", "em", "emphasis"),
        ("Some `code", "code", "code"),
        ("See [the page](https://exam", ".block", "See the page"),
        ("See [the pa", ".block", "See the pa"),
        ("```python\nprint(", ".code-frame code", "print("),
        ("```python\nprint()\n``", ".code-frame code", "print()"),
        ("| a | b |", "th >> nth=0", "a"),
        ("| a | b |\n|--", "th >> nth=1", "b"),
        ("| a | b |\n|---|---|\n| c", "td >> nth=0", "c"),
        ("$$\n\\frac{1}{", "code.formula", "\\frac{1}{"),
        ("A list:\n-", "p", "A list:"),
        ("A list:\n- one\n-", "li", "one"),
        ("Text\n=", "p", "Text"),
    ],
)
def test_what_is_half_written_looks_like_what_it_will_be(page: Page, text: str, selector: str, words: str) -> None:
    place = shown(page, text, live=True)
    expect(place.locator(selector)).to_have_text(words)


def test_images_are_links_and_load_nothing(page: Page) -> None:
    place = shown(page, "![a chart](https://example.org/chart.png)")
    expect(place.get_by_role("link")).to_have_text("Image: a chart")
    expect(place.get_by_role("link")).to_have_attribute("href", "https://example.org/chart.png")


def test_painting_stops_in_a_hidden_tab_and_catches_up(stage: Stage, page: Page) -> None:
    ask(page, "Go on while I look elsewhere.")
    model = stage.answer()
    model.say("Seen, ")
    expect(page.locator(".answer .words")).to_have_text("Seen,")
    painted = page.evaluate(
        """() => {
          // A hidden tab gets no animation frames; here they are held back by hand.
          window.held = [];
          window.real = window.requestAnimationFrame;
          window.requestAnimationFrame = (task) => window.held.push(task);
          return document.querySelector(".answer .words").textContent;
        }"""
    )
    model.say("hidden, ", "hidden")
    page.wait_for_function("() => window.held.length > 0")
    assert page.locator(".answer .words").text_content() == painted
    page.evaluate("window.requestAnimationFrame = window.real; window.held.forEach((task) => window.real(task))")
    model.say(".")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("Seen, hidden, hidden.")


def test_a_fast_model_is_painted_at_most_twenty_times_a_second(stage: Stage, page: Page) -> None:
    ask(page, "As fast as you can.")
    model = stage.answer()
    model.say("Go. ")
    expect(page.locator(".answer .words")).to_have_text("Go.")
    page.evaluate(
        """() => {
          window.paints = [];
          new MutationObserver(() => window.paints.push(performance.now())).observe(
            document.querySelector(".answer .words"), { childList: true, subtree: true, characterData: true });
        }"""
    )
    # In three goes, each seen: on a busy machine one paint may show all that was said until then.
    for last in (199, 299, 399):
        model.say(*[f"word{number} " for number in range(last - 99, last + 1)])
        expect(page.locator(".answer .words")).to_contain_text(f"word{last}")
    paints = page.evaluate("window.paints")
    model.done()
    gaps = [later - earlier for earlier, later in itertools.pairwise(paints)]
    assert gaps
    # Timestamps of animation frames run a little ahead of the clock.
    assert min(gaps) > 30
