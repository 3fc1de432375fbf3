// @ts-check
// Elements that a template promises: found together with their kind, and an error at once where one is missing.

/**
 * @template {Element} T
 * @typedef {new () => T} Kind A class of elements, such as HTMLInputElement.
 */

/**
 * @template {Element} T
 * @param {Element | null} found
 * @param {Kind<T>} kind
 * @param {string} name
 * @returns {T}
 */
function promised(found, kind, name) {
  if (found instanceof kind) return found;
  throw new TypeError(`expected ${name} to be a ${kind.name}, but got ${found?.tagName ?? "nothing"}`);
}

/**
 * The element with that id. Throws TypeError where the page has none of that kind.
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @param {Kind<T>} kind
 * @returns {T}
 */
export function byId(id, kind = /** @type {Kind<any>} */ (HTMLElement)) {
  return promised(document.getElementById(id), kind, `#${id}`);
}

/**
 * The element with that id; null where the page has none of that kind.
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @param {Kind<T>} kind
 * @returns {T | null}
 */
export function ifThere(id, kind = /** @type {Kind<any>} */ (HTMLElement)) {
  const found = document.getElementById(id);
  return found instanceof kind ? found : null;
}

/**
 * The first element below `root` that matches. Throws TypeError where there is none of that kind.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {Kind<T>} kind
 * @returns {T}
 */
export function find(root, selector, kind = /** @type {Kind<any>} */ (HTMLElement)) {
  return promised(root.querySelector(selector), kind, selector);
}

/**
 * All elements below `root` that match and are of that kind.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {Kind<T>} kind
 * @returns {T[]}
 */
export function findAll(root, selector, kind = /** @type {Kind<any>} */ (HTMLElement)) {
  return [...root.querySelectorAll(selector)].flatMap((each) => (each instanceof kind ? each : []));
}

/**
 * Where an event happened, or the nearest element around it, that matches; null where none does.
 * @template {Element} [T=HTMLElement]
 * @param {EventTarget | null} target
 * @param {string} selector
 * @param {Kind<T>} kind
 * @returns {T | null}
 */
export function around(target, selector, kind = /** @type {Kind<any>} */ (HTMLElement)) {
  const found = target instanceof Element ? target.closest(selector) : null;
  return found instanceof kind ? found : null;
}

/**
 * The children of `root`, which are all HTML.
 * @param {ParentNode} root
 * @returns {HTMLElement[]}
 */
export function childrenOf(root) {
  return [...root.children].map((child) => promised(child, HTMLElement, "a child"));
}

/**
 * A copy of what a `<template>` holds: its first element.
 * @template {Element} [T=HTMLElement]
 * @param {HTMLTemplateElement} template
 * @param {Kind<T>} kind
 * @returns {T}
 */
export function copyOf(template, kind = /** @type {Kind<any>} */ (HTMLElement)) {
  return promised(/** @type {Element | null} */ (template.content.firstElementChild?.cloneNode(true) ?? null), kind, "a template's element");
}

/**
 * What the server put into the page as JSON, in the element with that id.
 * @param {string} id
 * @returns {any}
 */
export function painted(id) {
  return JSON.parse(byId(id).textContent ?? "");
}

/**
 * What a form says, as the body or query of a request. Forms of this page send no files.
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} [submitter]
 * @returns {URLSearchParams}
 */
export function saidBy(form, submitter) {
  const pairs = [...new FormData(form, submitter)].map(([name, value]) => [name, String(value)]);
  return new URLSearchParams(pairs);
}

/**
 * A control of a form, by its name. Throws TypeError where the form has none of that kind.
 * @template {Element} [T=HTMLInputElement]
 * @param {HTMLFormElement} form
 * @param {string} name
 * @param {Kind<T>} kind
 * @returns {T}
 */
export function control(form, name, kind = /** @type {Kind<any>} */ (HTMLInputElement)) {
  const found = form.elements.namedItem(name);
  return promised(found instanceof Element ? found : null, kind, `the control ${name}`);
}
