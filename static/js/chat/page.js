// @ts-check
// The entry of the chat page: wires the parts to the socket. The server painted first; from here on frames patch it.
import { announce } from "../shared/announcer.js";
import { Banner } from "../shared/banner.js";
import { byId, copyOf, find, painted } from "../shared/dom.js";
import { Composer } from "./composer.js";
import { wireConversationMenu } from "./conversation_menu.js";
import { Follow } from "./follow.js";
import { keepInTab } from "../shared/storage.js";
import { nonce } from "../shared/numbers.js";
import { Options } from "./options.js";
import { Pending } from "./pending.js";
import { Picker } from "./picker.js";
import { wireShortcuts } from "./shortcuts.js";
import { Sidebar, titleOf } from "./sidebar.js";
import { box, chat as words, picker as pickerWords, residency } from "../shared/words.js";
import { ChatSocket } from "../shared/socket.js";
import { Thread } from "./thread.js";
import { endingSentence, refusalSentence } from "./wording.js";

/**
 * @import { Accepted, AnswerView, BrowserFrame, Conversations, ConversationView, MessageView, Patch, QuestionView } from "./frames"
 * @import { Said, ServerFrame, SocketError, Variants, VariantView } from "./frames"
 */

const LONGEST_FRAME_BYTES = 1024 * 1024;

const { chatUrl = "", loginUrl, socketPath = "" } = document.body.dataset;

/** @type {ConversationView | null} */
let conversation = painted("conversation-payload");
/** @type {Set<string>} */
let listed = new Set();
let refusedUntilFinal = false;
/**
 * Where the person is: a conversation's id, or null for a chat that has not begun.
 * @type {string | null}
 */
let place = conversation?.id ?? null;

/** @type {ChatSocket<ServerFrame, BrowserFrame>} */
const socket = new ChatSocket(socketPath);
const pending = new Pending();
const banner = new Banner();
const options = new Options();
const thread = new Thread(byId("messages"), { showBranch, edit, regenerate, refocus: write });
const follow = new Follow(byId("scroller"), byId("messages"), byId("jump"));
const picker = new Picker({ onPick: showMode });
const sidebar = new Sidebar({ open: (id) => go(id) });
const composer = new Composer({
  form: byId("composer", HTMLFormElement),
  sendButton: byId("send", HTMLButtonElement),
  stopButton: byId("stop", HTMLButtonElement),
  onSend: ask,
  onStop: stop,
});

// what a person does -------------------------------------------------------------------------------------------

/**
 * Says it now, or as soon as the connection is back; false where the box would refuse it for its length.
 * @param {Said} message
 */
function submit(message) {
  const { place: _place, ...frame } = message;
  if (new Blob([JSON.stringify(frame)]).size > LONGEST_FRAME_BYTES) {
    return refuse(refusalSentence({ code: "too_large" }));
  }
  pending.add(message);
  refuse("");
  socket.sendForProof(frame);
  showConversation();
  follow.toEnd();
  return true;
}

/**
 * Says above the composer why something was not done; "" takes it away. Answers false, for whoever asked.
 * @param {string} text
 * @param {{untilFinal?: boolean}} how `untilFinal`: the end of the running answer takes it away
 */
function refuse(text, { untilFinal = false } = {}) {
  refusedUntilFinal = untilFinal;
  const notice = byId("refusal");
  notice.hidden = !text;
  notice.textContent = text;
  return false;
}

/** The model that something can be said to here now; where there is none, the page says why. */
function mayAsk() {
  const { picked } = picker;
  if (!picked) refuse(picker.isEmpty ? words.noModel : words.noneCanRun);
  else if (thread.running || pending.of(place)) refuse(words.stillWriting, { untilFinal: true });
  else return picked;
  return null;
}

/**
 * @param {string | null} parent
 * @param {string} text
 */
function say(parent, text) {
  const picked = mayAsk();
  if (!picked) return false;
  const generation = { options: options.values, system_prompt: options.systemPrompt };
  return submit({ type: "send", nonce: nonce(), conversation: place, parent, text, variant: picked.id, ...generation, place });
}

/** @param {string} text */
function ask(text) {
  return say(conversation?.messages.at(-1)?.id ?? null, text);
}

/**
 * @param {QuestionView} view
 * @param {string} text
 */
function edit(view, text) {
  return say(view.parent ?? null, text);
}

/** @param {AnswerView} view */
function regenerate(view) {
  const picked = mayAsk();
  if (!picked) return;
  submit({ type: "regenerate", nonce: nonce(), message: view.id, variant: picked.id, options: options.values, place });
}

/** Whether there was anything to stop. */
function stop() {
  const { running } = thread;
  if (running && !socket.send({ type: "stop", message: running.id })) refuse(words.notConnected);
  return running !== null;
}

/** @param {string} message */
function showBranch(message) {
  if (!socket.send({ type: "branch", message })) refuse(words.notConnected);
}

/**
 * Moves to a conversation, or to a new chat (null).
 * @param {string | null} id
 */
function go(id, { push = true } = {}) {
  if (push && id !== place) history.pushState(null, "", id ? `${chatUrl}${id}/` : chatUrl);
  place = id;
  conversation = null;
  refuse("");
  sidebar.close();
  composer.openDraft(id ?? "new");
  sidebar.current = id;
  showConversation();
  watch(id);
  write();
}

/**
 * Asks for a conversation, from now on.
 * @param {string | null} id null: a chat that has not begun needs nothing
 */
function watch(id) {
  if (id) socket.sendForProof({ type: "open", conversation: id });
}

/** Puts the focus where the person writes, except where that would open a soft keyboard over the page. */
function write() {
  if (matchMedia("(pointer: fine)").matches) composer.focus();
}

// what the page shows ------------------------------------------------------------------------------------------

/**
 * @param {Extract<Said, {type: "send"}>} message
 * @returns {QuestionView}
 */
function question(message) {
  const state = socket.up ? words.sending : words.waitingForConnection;
  return { id: `pending-${message.nonce}`, siblings: [], role: "user", content: message.text, sending: state, state: "complete" };
}

/**
 * The messages of the shown branch, with what was said and not yet acknowledged.
 * @returns {MessageView[]}
 */
function shownMessages() {
  const messages = conversation?.messages ?? [];
  const said = pending.of(place);
  if (!said) return messages;
  const cut = messages.findIndex((view) => (said.type === "send" ? view.parent === said.parent : view.id === said.message));
  const kept = cut < 0 ? messages : messages.slice(0, cut);
  return said.type === "send" ? [...kept, question(said)] : kept;
}

function showConversation() {
  const messages = shownMessages();
  thread.show(messages);
  const title = place ? titleOf(conversation ?? { title: "…" }) : words.newChat;
  if (byId("title").textContent !== title) byId("title").textContent = title;
  document.title = `${title} · hostui`;
  byId("empty").hidden = messages.length > 0 || (place !== null && !conversation);
  byId("more").hidden = !conversation;
  if (!place || conversation) options.open(place ?? "new", conversation?.options ?? {}, conversation?.system_prompt ?? "");
  showRunning();
}

function showRunning() {
  composer.running = thread.running !== null;
}

/** @param {VariantView | null} picked */
function showMode(picked) {
  byId("mode").hidden = picked?.mode !== "completion";
  composer.blocked = !picked;
}

/** @param {VariantView[]} rows */
function showResidents(rows) {
  const template = byId("t-resident", HTMLTemplateElement);
  const inMemory = rows.filter((row) => row.state !== "absent" && row.state !== "failed");
  byId("resident").replaceChildren(
    ...inMemory.map((row) => {
      const chip = copyOf(template);
      chip.dataset.state = row.state;
      find(chip, ".name").textContent = row.name;
      chip.title = pickerWords.chip({ name: row.name, state: residency[row.state] });
      return chip;
    }),
  );
}

// what the server says -----------------------------------------------------------------------------------------

const hear = {
  /** @param {ConversationView} view */
  conversation(view) {
    if (view.id !== place) return;
    const first = conversation === null;
    const before = thread.running;
    conversation = view;
    showConversation();
    if (first) {
      picker.pick(view.variant);
      follow.toEnd();
    }
    // An answer that ended while nobody was connected.
    const ended = before && thread.answer(before.id);
    if (ended && !ended.running) announceEnd(ended.view);
  },

  /** @param {Accepted} frame */
  accepted({ nonce: accepted, conversation: id }) {
    const said = pending.take(accepted);
    if (!said) return;
    if (said.place !== place) {
      // Said elsewhere before: the server follows that conversation now, and is asked back to this one.
      if (place !== id) watch(place);
      return;
    }
    options.stored();
    if (place === null) {
      place = id;
      keepInTab("draft.new", null);
      composer.openDraft(id);
      history.replaceState(null, "", `${chatUrl}${id}/`);
      sidebar.current = id;
    }
    announce(words.sent);
  },

  /** @param {Patch} patch */
  patch(patch) {
    const answer = thread.answer(patch.message);
    if (!answer) return;
    const silent = !answer.view.content && !answer.view.reasoning;
    if (!answer.patch(patch)) {
      watch(place);
      return;
    }
    keepView(answer.view);
    if (silent && (patch.content || patch.reasoning)) announce(words.beingWritten);
  },

  /** @param {{view: AnswerView}} frame */
  final({ view }) {
    keepView(view);
    const answer = thread.answer(view.id);
    if (!answer) return;
    const wasRunning = answer.running;
    answer.update(view);
    showRunning();
    if (refusedUntilFinal) refuse("");
    if (wasRunning) announceEnd(view);
  },

  /** @param {Pick<Conversations, "rows">} frame */
  conversations({ rows }) {
    const gone = place !== null && listed.has(place) && !rows.some((row) => row.id === place) && rows.length < 200;
    listed = new Set(rows.map((row) => row.id));
    if (gone) {
      go(null);
      refuse(words.wasDeleted);
    }
    sidebar.show(rows, place);
    const title = rows.find((row) => row.id === place)?.title;
    if (conversation && title !== undefined && title !== conversation.title) {
      conversation.title = title;
      showConversation();
    }
  },

  /** @param {Pick<Variants, "host" | "rows">} frame */
  variants({ host, rows }) {
    picker.show(rows, host);
    showResidents(host ? rows : []);
    banner.set("host", host ? "" : words.hostAway);
  },

  /** @param {SocketError} error */
  error(error) {
    const said = error.nonce ? pending.take(error.nonce) : null;
    const sentence = refusalSentence(error);
    if (said?.type === "send" && said.place === place && !composer.text) composer.text = said.text;
    if (error.code === "not_found" && !said && place && !conversation) {
      go(null);
    } else if (said) showConversation();
    refuse(sentence);
  },
};

/**
 * A conversation that is shown again must show what came in the meantime.
 * @param {MessageView} view
 */
function keepView(view) {
  if (!conversation) return;
  const index = conversation.messages.findIndex((each) => each.id === view.id);
  if (index >= 0) conversation.messages[index] = view;
}

/** @param {AnswerView} view */
function announceEnd(view) {
  const length = view.content.split(/\s+/).filter(Boolean).length;
  announce(endingSentence(view) || words.finished(length));
}

socket.onFrame((frame) => {
  const take = /** @type {((frame: ServerFrame) => void) | undefined} */ (hear[frame.type]);
  take?.(frame);
});

socket.addEventListener("up", () => {
  banner.set("connection", "");
  watch(place);
  for (const { place: _place, ...message } of pending.all) socket.send(message);
  showConversation();
});

socket.addEventListener("down", () => {
  banner.set("connection", thread.running ? words.lostWhileAnswering : words.lost);
  showConversation();
});

socket.addEventListener("stale", () => watch(place));

socket.addEventListener("signedout", () => {
  const back = `${loginUrl}?next=${encodeURIComponent(location.pathname)}`;
  banner.set("session", words.signedOut, {
    level: "bad",
    link: { href: back, text: box.logIn },
  });
});

// the rest of the page -----------------------------------------------------------------------------------------

wireConversationMenu({
  conversation: () => conversation,
  say: (message) => socket.send(message) || refuse(words.notConnected),
  gone: (id) => {
    listed.delete(id);
    go(null);
  },
});
wireShortcuts({
  stop,
  write: () => composer.focus(),
  newChat: () => go(null),
});

byId("new-chat").addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(null);
});

window.addEventListener("popstate", () => {
  const id = location.pathname.slice(chatUrl.length).replace(/\/$/, "");
  go(id || null, { push: false });
});

// Safari lays the soft keyboard over the page instead of shrinking it.
window.visualViewport?.addEventListener("resize", (event) => {
  if (!(event.target instanceof VisualViewport)) return;
  document.documentElement.style.setProperty("--seen-height", `${event.target.height}px`);
  if (event.target.scale === 1) scrollTo(0, 0);
});

const variants = painted("variants-payload");
const conversations = painted("conversations-payload");
composer.openDraft(place ?? "new");
hear.variants(variants);
hear.conversations(conversations);
if (conversation) picker.pick(conversation.variant);
else if (document.body.dataset.named) picker.choose(Number(document.body.dataset.named));
showConversation();
follow.toEnd();
if (!place) write();
socket.connect();
