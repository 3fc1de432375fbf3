// @ts-check
// The last gate before the page: whatever a model wrote passes here on every render, as an allow-list.
import DOMPurify from "../../vendor/dompurify/purify.es.mjs";

const PROSE_TAGS = [
  ..."p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code table thead tbody tr th td a".split(" "),
  ..."strong em b i u s del ins mark small sub sup kbd span".split(" "),
];
const MATH_TAGS = [
  ..."math mrow mi mn mo ms mtext mspace mfrac msqrt mroot mstyle merror mpadded mphantom menclose".split(" "),
  ..."msub msup msubsup munder mover munderover mmultiscripts mprescripts mtable mtr mtd mlabeledtr".split(" "),
];
const MATH_ATTRIBUTES = [
  ..."display displaystyle scriptlevel mathvariant mathcolor mathbackground mathsize stretchy fence separator".split(" "),
  ..."lspace rspace minsize maxsize symmetric largeop movablelimits accent accentunder form linethickness".split(" "),
  ..."columnalign columnspacing columnlines rowalign rowspacing rowlines frame framespacing side width height".split(" "),
  ..."depth voffset notation".split(" "),
];
const LINK = /^(?:https?:\/\/|mailto:)/i;

/**
 * A sanitiser with rules of its own.
 * @param {import("dompurify").Config & {classes: RegExp}} rules `classes`: those that stay
 * @returns {(html: string) => DocumentFragment}
 */
function gate({ classes, ...config }) {
  const purify = DOMPurify(window);
  purify.setConfig({
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
    ...config,
  });
  purify.addHook("uponSanitizeAttribute", (_node, attribute) => {
    if (attribute.attrName === "class") {
      const kept = attribute.attrValue.split(/\s+/).filter((name) => classes.test(name));
      attribute.attrValue = kept.join(" ");
      attribute.keepAttr = kept.length > 0;
    } else if (attribute.attrName === "href") {
      // On top of the sanitiser's own rule, which also lets relative addresses and a few more schemes through.
      attribute.keepAttr = LINK.test(attribute.attrValue.trim());
    }
  });
  purify.addHook("afterSanitizeAttributes", (node) => {
    if (node.nodeName !== "A") return;
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  });
  // The configuration makes it return fragments, which its types cannot know.
  return (html) => /** @type {any} */ (purify.sanitize(html));
}

/** Rendered Markdown, as a DocumentFragment: no images, forms, frames, styles, scripts, ids; links only to http, https and mailto. */
export const prose = gate({
  ALLOWED_TAGS: PROSE_TAGS,
  ALLOWED_ATTR: ["href", "title", "class", "align", "start"],
  classes: /^(?:language-[\w+#.-]{1,40}|formula|formula-block|markup)$/,
});

/** Highlighted code: spans with highlight.js's classes and nothing else. */
export const highlighted = gate({ ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], classes: /^(?:hljs-[\w-]{1,40}|\w{1,24}_)$/ });

/** KaTeX's MathML. Its copy of the source goes: it would be read twice. */
export const formula = gate({
  ALLOWED_TAGS: MATH_TAGS,
  ALLOWED_ATTR: MATH_ATTRIBUTES,
  FORBID_CONTENTS: ["annotation", "annotation-xml", "script", "style"],
  classes: /^$/,
});
