// @ts-check
// What this browser remembers. Storage can be full or switched off: then nothing is remembered and nothing breaks.
const PREFIX = "hostui.";

/**
 * @param {() => Storage} storage
 * @param {string} name
 */
function read(storage, name) {
  try {
    return storage().getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/**
 * @param {() => Storage} storage
 * @param {string} name
 * @param {string | null} value
 */
function write(storage, name, value) {
  try {
    if (value === null || value === "") storage().removeItem(PREFIX + name);
    else storage().setItem(PREFIX + name, value);
  } catch {
    // Said above.
  }
}

/**
 * Across tabs and visits. Null where nothing is known.
 * @param {string} name
 */
export const remembered = (name) => read(() => localStorage, name);
/**
 * @param {string} name
 * @param {string | null} value null: forget
 */
export const remember = (name, value) => write(() => localStorage, name, value);

/**
 * In this tab, over reloads. Null where nothing is known.
 * @param {string} name
 */
export const keptInTab = (name) => read(() => sessionStorage, name);
/**
 * @param {string} name
 * @param {string | null} value null: forget
 */
export const keepInTab = (name, value) => write(() => sessionStorage, name, value);
