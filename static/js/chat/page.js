// The entry of the chat page: wires the parts to the socket. The server painted first; from here on frames patch it.
import { announce } from "../shared/announcer.js";
import { Banner } from "../shared/banner.js";
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
import { ChatSocket } from "../shared/socket.js";
import { Thread } from "./thread.js";
import { endingSentence, refusalSentence } from "./wording.js";

const LONGEST_FRAME_BYTES = 1024 * 1024;
const NOT_CONNECTED = "The connection is lost; try again when it is back.";
const NONE_CAN_RUN = "None of this box's models can run at the moment; the list of models says why.";
const STILL_WRITING = "An answer is still being written. Wait for it, or stop it with Esc.";

const byId = (id) => document.getElementById(id);
const painted = (id) => JSON.parse(byId(id).textContent);
const { chatUrl, loginUrl, socketPath } = document.body.dataset;

let conversation = painted("conversation-payload");
let listed = new Set();
/** Where the person is: a conversation's id, or null for a chat that has not begun. */
let place = conversation?.id ?? null;

const socket = new ChatSocket(socketPath);
const pending = new Pending();
const banner = new Banner();
const options = new Options();
const thread = new Thread(byId("messages"), { showBranch, edit, regenerate, refocus: write });
const follow = new Follow(byId("scroller"), byId("messages"), byId("jump"));
const picker = new Picker({ onPick: showMode });
const sidebar = new Sidebar({ open: (id) => go(id) });
const composer = new Composer({ form: byId("composer"), sendButton: byId("send"), stopButton: byId("stop"), onSend: ask, onStop: stop });

// what a person does -------------------------------------------------------------------------------------------

/** Says it now, or as soon as the connection is back; false where the box would refuse it for its length. */
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

/** Says above the composer why something was not done; "" takes it away. Answers false, for whoever asked. */
function refuse(text) {
  const notice = byId("refusal");
  notice.hidden = !text;
  notice.textContent = text;
  return false;
}

/** Whether something can be said here now; if not, the page says why. */
function mayAsk() {
  if (!picker.picked) return refuse(picker.isEmpty ? "There is no model to answer. Add one, then send again." : NONE_CAN_RUN);
  if (thread.running || pending.of(place)) return refuse(STILL_WRITING);
  return true;
}

function say(parent, text) {
  if (!mayAsk()) return false;
  const message = { type: "send", nonce: nonce(), conversation: place, parent, text, variant: picker.picked.id };
  return submit({ ...message, options: options.values, system_prompt: options.systemPrompt, place });
}

function ask(text) {
  return say(conversation?.messages.at(-1)?.id ?? null, text);
}

function edit(view, text) {
  return say(view.parent, text);
}

function regenerate(view) {
  if (!mayAsk()) return;
  submit({ type: "regenerate", nonce: nonce(), message: view.id, variant: picker.picked.id, options: options.values, place });
}

/** Whether there was anything to stop. */
function stop() {
  const { running } = thread;
  if (running && !socket.send({ type: "stop", message: running.id })) refuse(NOT_CONNECTED);
  return running !== null;
}

function showBranch(message) {
  if (!socket.send({ type: "branch", message })) refuse(NOT_CONNECTED);
}

/** Moves to a conversation, or to a new chat (null). */
function go(id, { push = true } = {}) {
  if (push && id !== place) history.pushState(null, "", id ? `${chatUrl}${id}/` : chatUrl);
  place = id;
  conversation = null;
  refuse("");
  sidebar.close();
  composer.openDraft(id ?? "new");
  sidebar.current = id;
  showConversation();
  if (id) socket.sendForProof({ type: "open", conversation: id });
  write();
}

/** Puts the focus where the person writes, except where that would open a soft keyboard over the page. */
function write() {
  if (matchMedia("(pointer: fine)").matches) composer.focus();
}

// what the page shows ------------------------------------------------------------------------------------------

function question(message) {
  const state = socket.up ? "Sending…" : "Waiting for the connection…";
  return { id: `pending-${message.nonce}`, siblings: [], role: "user", content: message.text, sending: state, state: "complete" };
}

/** The messages of the shown branch, with what was said and not yet acknowledged. */
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
  const title = place ? titleOf(conversation ?? { title: "…" }) : "New chat";
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

function showMode(picked) {
  byId("mode").hidden = picked?.mode !== "completion";
  composer.blocked = !picked;
}

function showResidents(rows) {
  const template = byId("t-resident");
  const inMemory = rows.filter((row) => row.state !== "absent" && row.state !== "failed");
  byId("resident").replaceChildren(
    ...inMemory.map((row) => {
      const chip = template.content.firstElementChild.cloneNode(true);
      chip.dataset.state = row.state;
      chip.querySelector(".name").textContent = row.name;
      chip.title = `${row.name}: ${row.state === "resident" ? "in memory" : row.state}`;
      return chip;
    }),
  );
}

// what the server says -----------------------------------------------------------------------------------------

const hear = {
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

  accepted({ nonce: accepted, conversation: id }) {
    const said = pending.take(accepted);
    if (!said) return;
    if (said.place !== place) {
      // Said elsewhere before: the server follows that conversation now, and is asked back to this one.
      if (place && place !== id) socket.sendForProof({ type: "open", conversation: place });
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
    announce("Sent. Waiting for the answer.");
  },

  patch(patch) {
    const answer = thread.answer(patch.message);
    if (!answer) return;
    const silent = !answer.view.content && !answer.view.reasoning;
    if (!answer.patch(patch)) {
      socket.sendForProof({ type: "open", conversation: place });
      return;
    }
    keepView(answer.view);
    if (silent && (patch.content || patch.reasoning)) announce("The answer is being written.");
  },

  final({ view }) {
    keepView(view);
    const answer = thread.answer(view.id);
    if (!answer) return;
    const wasRunning = answer.running;
    answer.update(view);
    showRunning();
    if (byId("refusal").textContent === STILL_WRITING) refuse("");
    if (wasRunning) announceEnd(view);
  },

  conversations({ rows }) {
    const gone = place !== null && listed.has(place) && !rows.some((row) => row.id === place) && rows.length < 200;
    listed = new Set(rows.map((row) => row.id));
    if (gone) {
      go(null);
      refuse("That conversation was deleted.");
    }
    sidebar.show(rows, place);
    const title = rows.find((row) => row.id === place)?.title;
    if (conversation && title !== undefined && title !== conversation.title) {
      conversation.title = title;
      showConversation();
    }
  },

  variants({ host, rows }) {
    picker.show(rows, host);
    showResidents(host ? rows : []);
    banner.set("host", host ? "" : "The model host does not answer. It is restarted by itself; questions wait until it is back.");
  },

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

/** A conversation that is shown again must show what came in the meantime. */
function keepView(view) {
  if (!conversation) return;
  const index = conversation.messages.findIndex((each) => each.id === view.id);
  if (index >= 0) conversation.messages[index] = view;
}

function announceEnd(view) {
  const words = view.content.split(/\s+/).filter(Boolean).length;
  announce(endingSentence(view) || `The answer is finished: ${words} words.`);
}

socket.addEventListener("frame", ({ detail }) => hear[detail.type]?.(detail));

socket.addEventListener("up", () => {
  banner.set("connection", "");
  if (place) socket.sendForProof({ type: "open", conversation: place });
  for (const { place: _place, ...message } of pending.all) socket.send(message);
  showConversation();
});

socket.addEventListener("down", () => {
  const tail = thread.running ? " Your answer keeps being written on the box." : " What you write here is kept.";
  banner.set("connection", `Connection lost; trying again.${tail}`);
  showConversation();
});

socket.addEventListener("stale", () => {
  if (place) socket.sendForProof({ type: "open", conversation: place });
});

socket.addEventListener("signedout", () => {
  const back = `${loginUrl}?next=${encodeURIComponent(location.pathname)}`;
  banner.set("session", "You are no longer logged in. What you have written here is kept.", {
    level: "bad",
    link: { href: back, text: "Log in again" },
  });
});

// the rest of the page -----------------------------------------------------------------------------------------

wireConversationMenu({
  conversation: () => conversation,
  say: (message) => socket.send(message) || refuse(NOT_CONNECTED),
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
window.visualViewport?.addEventListener("resize", () => {
  document.documentElement.style.setProperty("--seen-height", `${window.visualViewport.height}px`);
  if (window.visualViewport.scale === 1) scrollTo(0, 0);
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
