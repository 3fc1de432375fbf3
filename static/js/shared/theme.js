// @ts-check
// Runs before the first paint, so it is a plain script in the head: a page in the wrong colours would flash.
try {
  const theme = localStorage.getItem("hostui.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be switched off; the system's theme holds then.
}
