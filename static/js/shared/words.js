// @ts-check
// Everything that the scripts say, in one place for translators: makemessages -d djangojs reads it. The modules are written in English;
// for another language Django's JavaScriptCatalog has run before them (templates/base.html).

/**
 * @typedef {object} Catalogue What JavaScriptCatalog leaves behind.
 * @property {(sentence: string) => string} gettext
 * @property {(one: string, many: string, n: number) => string} ngettext
 */

/** @type {Catalogue} */
const { gettext, ngettext } = /** @type {{django?: Catalogue}} */ (globalThis).django ?? {
  gettext: (sentence) => sentence,
  ngettext: (one, many, n) => (n === 1 ? one : many),
};

/**
 * The sentence with its `%(name)s` filled in, as Django's interpolate does with names.
 * @param {string} sentence
 * @param {Record<string, string | number>} facts
 */
function filled(sentence, facts) {
  return sentence.replace(/%\((\w+)\)s/g, (place, name) => String(facts[name] ?? place));
}

/** @typedef {string | number} Fact */

export const numbers = {
  bytes: gettext("bytes"),
  /** @param {Fact} n */
  seconds: (n) => filled(gettext("%(n)s s"), { n }),
  /** @param {Fact} n */
  minutes: (n) => filled(gettext("%(n)s min"), { n }),
  /** @param {Fact} n */
  hours: (n) => filled(gettext("%(n)s h"), { n }),
  /** @param {Fact} n */
  days: (n) => filled(gettext("%(n)s d"), { n }),
  /** @param {number} n */
  tokens: (n) => filled(ngettext("%(n)s token", "%(n)s tokens", n), { n }),
  /** @param {number} n */
  words: (n) => filled(ngettext("%(n)s word", "%(n)s words", n), { n }),
  /** @param {Fact} n */
  tokensPerSecond: (n) => filled(gettext("%(n)s tokens/s"), { n }),
  /** @param {Fact} amount */
  perSecond: (amount) => filled(gettext("%(amount)s/s"), { amount }),
  justNow: gettext("just now"),
};

/** What may be said on any page. */
export const box = {
  refused: gettext("The box refused that."),
  unreached: gettext("The box could not be reached. Try again."),
  signedOut: gettext("You are no longer logged in."),
  logIn: gettext("Log in again"),
  copied: gettext("Copied"),
  notCopied: gettext("Could not copy"),
  wasCopied: gettext("Copied."),
  mayNotCopy: gettext("The browser did not allow copying."),
  aModel: gettext("a model"),
};

/** A variant's residency, as inference words it for the first paint. */
export const residency = {
  absent: gettext("on disk"),
  resident: gettext("in memory"),
  loading: gettext("loading"),
  draining: gettext("finishing"),
  unloading: gettext("unloading"),
  failed: gettext("failed"),
  /** @param {number} percent */
  loadingSoFar: (percent) => filled(gettext("loading %(percent)s%"), { percent }),
};

export const chat = {
  notConnected: gettext("The connection is lost; try again when it is back."),
  noModel: gettext("There is no model to answer. Add one, then send again."),
  noneCanRun: gettext("None of this box's models can run at the moment; the list of models says why."),
  stillWriting: gettext("An answer is still being written. Wait for it, or stop it with Esc."),
  sending: gettext("Sending…"),
  waitingForConnection: gettext("Waiting for the connection…"),
  sent: gettext("Sent. Waiting for the answer."),
  beingWritten: gettext("The answer is being written."),
  wasDeleted: gettext("That conversation was deleted."),
  hostAway: gettext("The model host does not answer. It is restarted by itself; questions wait until it is back."),
  lostWhileAnswering: gettext("Connection lost; trying again. Your answer keeps being written on the box."),
  lost: gettext("Connection lost; trying again. What you write here is kept."),
  signedOut: gettext("You are no longer logged in. What you have written here is kept."),
  /** @param {number} n words */
  finished: (n) => filled(ngettext("The answer is finished: %(n)s word.", "The answer is finished: %(n)s words.", n), { n }),
  newChat: gettext("New chat"),
  newConversation: gettext("New conversation"),
  noTitleMatches: gettext("No title matches."),
  noneYet: gettext("Your conversations will be listed here."),
  writingNow: gettext("writing…"),
  noPick: gettext("No model"),
  answer: gettext("Answer"),
  writing: gettext("Writing…"),
  thinking: gettext("Thinking…"),
  /** @param {{time: string, tokens: string}} facts */
  thoughtFor: (facts) => filled(gettext("Thought for %(time)s · %(tokens)s"), facts),
  /** @param {string} length */
  thoughts: (length) => filled(gettext("Thoughts · %(length)s"), { length }),
  /** @param {string} what */
  image: (what) => filled(gettext("Image: %(what)s"), { what }),
  table: gettext("Table"),
  text: gettext("text"),
  code: gettext("Code"),
  /** @param {string} language */
  codeIn: (language) => filled(gettext("Code, %(language)s"), { language }),
};

/** How an answer ended. */
export const ending = {
  stopped: gettext("You stopped this answer."),
  failed: gettext("The answer failed."),
  interrupted: gettext("The answer was interrupted. What had arrived is kept."),
  cut: gettext("The answer was cut here: it reached the token limit or the end of the model's context."),
  empty: gettext("The model ended its answer without writing anything."),
  /** @param {string} time */
  firstTokenAfter: (time) => filled(gettext("first token after %(time)s"), { time }),
  /** @param {number} n */
  prompt: (n) => filled(gettext("prompt %(n)s"), { n }),
  /** @param {{n: number, cached: number}} facts */
  promptCached: (facts) => filled(gettext("prompt %(n)s (%(cached)s cached)"), facts),
};

/** What an answer waits for. */
export const wait = {
  theModel: gettext("the model"),
  next: gettext("Next in line."),
  /** @param {Fact} place */
  inLine: (place) => filled(gettext("Waiting in line, place %(place)s."), { place }),
  /** @param {string} names */
  evicting: (names) => filled(gettext("Making room: %(names)s leaves the memory."), { names }),
  anotherModel: gettext("another model"),
  /** @param {{name: string, percent: number}} facts */
  loading: (facts) => filled(gettext("Loading %(name)s: %(percent)s\u00a0%"), facts),
  reading: gettext("Reading the conversation…"),
  /** @param {{done: number, total: number}} facts */
  readingSoFar: (facts) => filled(gettext("Reading the conversation: %(done)s of %(total)s tokens"), facts),
  hostDown: gettext("The model host does not answer. It is restarted by itself; your question stays in line."),
  starting: gettext("Starting…"),
};

/** What is said of a model in the picker. */
export const picker = {
  cannotRun: gettext("cannot run"),
  /** @param {number} n */
  waiting: (n) => filled(ngettext("%(n)s waiting", "%(n)s waiting", n), { n }),
  completionMode: gettext("completion mode"),
  /** @param {number} percent */
  loading: (percent) => filled(gettext("loading %(percent)s\u00a0%"), { percent }),
  notLoaded: gettext("It could not be loaded."),
  /** @param {{name: string, state: string}} facts */
  chip: (facts) => filled(gettext("%(name)s: %(state)s"), facts),
};

/** Against a generation option, or of all of them. */
export const options = {
  notANumber: gettext("This is not a number."),
  notWhole: gettext("A whole number."),
  /** @param {{min: string, max: string}} range */
  range: (range) => filled(gettext("A number from %(min)s to %(max)s."), range),
  /** @param {number} n */
  tooManyStrings: (n) => filled(ngettext("At most %(n)s string.", "At most %(n)s strings.", n), { n }),
  /** @param {number} n */
  stringTooLong: (n) => filled(ngettext("Each string: at most %(n)s character.", "Each string: at most %(n)s characters.", n), { n }),
  title: gettext("Generation options"),
  /** @param {number} n */
  titleSet: (n) => filled(ngettext("Generation options, %(n)s set", "Generation options, %(n)s set", n), { n }),
  /** @param {string} detail */
  refused: (detail) => filled(gettext("One of the generation options was refused: %(detail)s."), { detail }),
  tooLarge: gettext("That message is too long for the box: at most 1 MB."),
};

export const dashboard = {
  live: gettext("live"),
  hostAway: gettext("host away"),
  notConnected: gettext("not connected"),
  signedOut: gettext("signed out"),
  away: gettext("The model host does not answer. It is restarted by itself; this page follows when it is back."),
  lost: gettext("Connection lost; trying again. What you see is from before."),
  /** @param {{time: string, pid: number}} facts */
  up: (facts) => filled(gettext("The model host has been up for %(time)s (process %(pid)s)."), facts),
  /** @param {{name: string, summary: string}} facts */
  bar: (facts) => filled(gettext("%(name)s: %(summary)s. Arrow keys tell each part."), facts),
  processor: gettext("Processor"),
};

/** Parts of a device's memory, as inference words them for the first paint. */
export const memory = {
  weights: gettext("weights"),
  kv: gettext("KV cache"),
  compute: gettext("compute buffers"),
  overhead: gettext("overhead"),
  reserved: gettext("reserved"),
  foreign: gettext("other programs"),
  reserve: gettext("kept free"),
  free: gettext("free"),
};

export const device = {
  /** @param {{held: string, budget: string}} facts */
  held: (facts) => filled(gettext("%(held)s of %(budget)s budget"), facts),
  /** @param {number} percent */
  busy: (percent) => filled(gettext("%(percent)s % busy"), { percent }),
  /** @param {number} percent */
  processorBusy: (percent) => filled(gettext("processor %(percent)s % busy"), { percent }),
  /** @param {string} rate */
  swapping: (rate) => filled(gettext("swapping in %(rate)s"), { rate }),
  /** @param {string} budget */
  note: (budget) => filled(gettext("Budget %(budget)s: the most that models may hold here."), { budget }),
  /** @param {string} budget */
  noteForeignUnknown: (budget) =>
    filled(gettext("Budget %(budget)s: the most that models may hold here. What other programs use is not known."), { budget }),
};

/** How a variant was loaded. */
export const loaded = {
  /** @param {{n: number, all: number}} layers */
  onGpu: (layers) => filled(gettext("%(n)s of %(all)s layers on the GPU"), layers),
  allInRam: gettext("all layers in RAM"),
  /** @param {{where: string, n: number}} facts */
  askedFor: (facts) => filled(gettext("%(where)s (asked for %(n)s)"), facts),
  /** @param {{tokens: string, slots: number}} facts */
  context: (facts) => filled(gettext("%(tokens)s tokens × %(slots)s slots"), facts),
  /** @param {string} types */
  cache: (types) => filled(gettext("KV %(types)s"), { types }),
  /** @param {string} n seconds */
  took: (n) => filled(gettext("loaded in %(n)s s"), { n }),
  /** @param {{busy: number, all: number}} slots */
  slots: (slots) => filled(gettext("%(busy)s of %(all)s"), slots),
};

export const jobs = {
  /** @param {string} title */
  done: (title) => filled(gettext("Done of %(title)s"), { title }),
  /** @param {number} n */
  count: (n) => filled(ngettext("%(n)s job", "%(n)s jobs", n), { n }),
  /** @param {{words: string, percent: number}} facts */
  soFar: (facts) => filled(gettext("%(words)s %(percent)s %"), facts),
  /** @param {{title: string, state: string}} facts */
  ended: (facts) => filled(gettext("%(title)s: %(state)s"), facts),
};

export const hub = {
  silent: gettext("The plans did not arrive: the box does not answer. Reload the page to try again."),
  notKnown: gettext("Not known"),
  /** @param {{name: string, reason: string}} facts */
  recommended: (facts) => filled(gettext("%(name)s is recommended. %(reason)s"), facts),
  here: gettext("On this box"),
  cancelled: gettext("Download cancelled"),
  failed: gettext("Download failed"),
  /** @param {{type: string, size: string}} facts */
  source: (facts) => filled(gettext("%(type)s (%(size)s)"), facts),
  /** @param {string} names */
  betterSources: (names) => filled(gettext("Better sources on the Hub: %(names)s"), { names }),
  noBetterSource: gettext("Its repository on the Hub has no better source"),
};

export const upload = {
  lost: gettext("The connection was lost. Choose the same files again to go on where it was."),
  beginning: gettext("Beginning …"),
  allHere: gettext("All of it is here. The box checks it now; it shows up among the models when it is found whole."),
  stopped: gettext("Stopped. Choose the same files again to go on where it was."),
  /** @param {{here: string, total: string}} facts */
  soFar: (facts) => filled(gettext("%(here)s of %(total)s"), facts),
  /** @param {string} time */
  left: (time) => filled(gettext("%(time)s left"), { time }),
};

export const plan = {
  /** @param {{speed: string, title: string, bars: string}} facts */
  verdict: (facts) => filled(gettext("%(speed)s tokens per second. %(title)s. %(bars)s"), facts),
  /** @param {string} n tokens */
  context: (n) => filled(gettext("%(n)s tokens"), { n }),
};

export const requantize = {
  senseless: gettext("That makes no sense yet."),
  chosen: gettext("As you chose."),
  /** @param {{type: string, size: string}} facts */
  target: (facts) => filled(gettext("%(type)s, %(size)s"), facts),
};
