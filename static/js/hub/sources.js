// A link to the Hub that says what is found behind it, once the Hub has told.

const told = new Map();

async function ask(url) {
  try {
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    return response.ok && !response.redirected ? (await response.json()).sources : null;
  } catch {
    return null;
  }
}

/** The link below `root` with `data-sources-url`, if there is one, names the better sources. It stays as it is where nobody answers. */
export async function nameSources(root) {
  const link = root.querySelector("a[data-sources-url]");
  if (!link) return;
  const url = link.dataset.sourcesUrl;
  if (!told.has(url)) told.set(url, ask(url));
  const sources = await told.get(url);
  if (!sources) return;
  const names = sources.map(({ quantization, size }) => `${quantization} (${size})`).join(", ");
  link.textContent = sources.length ? `Better sources on the Hub: ${names}` : "Its repository on the Hub has no better source";
}
