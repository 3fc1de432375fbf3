/** The line above the messages that says what is wrong with the connection or the box. The gravest one shows. */
export class Banner {
  #root = document.getElementById("banner");
  #lines = new Map();

  /** `level`: "bad" or "warn". An empty text takes the line away. */
  set(topic, text, { level = "warn", link = null } = {}) {
    if (text) this.#lines.set(topic, { text, level, link });
    else this.#lines.delete(topic);
    const line = ["session", "connection", "host"].map((each) => this.#lines.get(each)).find(Boolean);
    this.#root.hidden = !line;
    if (!line) {
      this.#root.replaceChildren();
      return;
    }
    if (this.#root.firstChild?.textContent === line.text) return;
    this.#root.className = `banner ${line.level}`;
    const words = document.createElement("span");
    words.textContent = line.text;
    this.#root.replaceChildren(words);
    if (line.link) {
      const link = document.createElement("a");
      link.href = line.link.href;
      link.textContent = line.link.text;
      this.#root.append(link);
    }
  }
}
