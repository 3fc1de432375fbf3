// @ts-check

/**
 * Says a sentence to screen readers, politely. Not for each token: starts, ends and errors.
 * @param {string} sentence
 */
export function announce(sentence) {
  const place = document.getElementById("announcer");
  if (!place) return;
  const line = document.createElement("p");
  line.textContent = sentence;
  place.append(line);
  while (place.childElementCount > 5) place.firstElementChild?.remove();
}
