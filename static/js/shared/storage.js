// What this browser remembers. Storage can be full or switched off: then nothing is remembered and nothing breaks.
const PREFIX = "hostui.";

function read(storage, name) {
  try {
    return storage().getItem(PREFIX + name);
  } catch {
    return null;
  }
}

function write(storage, name, value) {
  try {
    if (value === null || value === "") storage().removeItem(PREFIX + name);
    else storage().setItem(PREFIX + name, value);
  } catch {
    // Said above.
  }
}

/** Across tabs and visits. Null where nothing is known. */
export const remembered = (name) => read(() => localStorage, name);
export const remember = (name, value) => write(() => localStorage, name, value);

/** In this tab, over reloads. Null where nothing is known. */
export const keptInTab = (name) => read(() => sessionStorage, name);
export const keepInTab = (name, value) => write(() => sessionStorage, name, value);
