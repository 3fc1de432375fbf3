// The browser's libraries are served below vendor/ (STATICFILES_DIRS in the settings); their types lie in node_modules.
declare module "*/vendor/marked/marked.esm.js" {
  export * from "marked";
}
declare module "*/vendor/dompurify/purify.es.mjs" {
  export { default } from "dompurify";
}
declare module "*/vendor/katex/katex.mjs" {
  export { default } from "katex";
}
declare module "*/vendor/uplot/uPlot.esm.js" {
  export { default } from "uplot";
}

/** highlight.js comes as a build for browsers, without types: this much of it is used. */
interface Highlighter {
  getLanguage(name: string): object | undefined;
  registerLanguage(name: string, language: unknown): void;
  highlight(code: string, options: { language: string; ignoreIllegals: boolean }): { value: string };
}
declare module "*/vendor/highlight/highlight.min.js" {
  const hljs: Highlighter;
  export default hljs;
}
