// @ts-check
// The entry of the dashboard: the server painted first; from here on the frames of /ws/host/ patch it.
import { announce } from "../shared/announcer.js";
import { around, byId, ifThere, painted } from "../shared/dom.js";
import { Banner } from "../shared/banner.js";
import { Bars, Colours } from "./bars.js";
import { Charts } from "./charts.js";
import { Log, showModels, showQueue, showResidents, showTopbar } from "./lists.js";
import { act, LoadDialog } from "./load_dialog.js";
import { duration } from "../shared/numbers.js";
import { residentKey } from "../shared/resident_key.js";
import { box, dashboard as words } from "../shared/words.js";
import { ChatSocket } from "../shared/socket.js";

/** @import { Backlog, Delta, TelemetryFrame } from "./frames" */

const SEEN_EVERY = 5;

const { loginUrl, socketPath = "", user } = document.body.dataset;

/** @type {Map<string, string>} by residentKey */
const names = new Map(Object.entries(painted("names-payload")));
const banner = new Banner();
/** @type {ChatSocket<TelemetryFrame>} */
const socket = new ChatSocket(socketPath);
const colours = new Colours();
const bars = new Bars(colours);
const charts = new Charts(colours, (key) => names.get(key) ?? box.aModel);
const log = new Log();
let heard = 0;

/** @param {Backlog | Delta} state */
function show(state) {
  for (const each of state.variants) names.set(residentKey(each), each.name);
  colours.keep(state.variants);
  bars.show(state.devices, state.variants);
  showResidents(state.variants);
  showModels(state.variants);
  showTopbar(state.variants);
  showQueue(state.queue, user);
  const facts = words.up({ time: duration(state.uptime_seconds), pid: state.pid });
  byId("host-facts").hidden = false;
  if (byId("host-facts").textContent !== facts) byId("host-facts").textContent = facts;
}

/**
 * @param {string} said
 * @param {"live" | "away"} state
 */
function showLive(said, state) {
  byId("live").hidden = false;
  byId("live").dataset.state = state;
  if (byId("live-words").textContent !== said) byId("live-words").textContent = said;
}

/** @param {Backlog} state */
function begin(state) {
  banner.set("host", "");
  showLive(words.live, "live");
  show(state);
  log.show(state.decisions);
  charts.fill(state);
}

/** @param {Delta} state */
function goOn(state) {
  show(state);
  log.add(state.decisions);
  charts.add(state);
  const newest = state.decisions.at(-1);
  if (!newest) return;
  announce(newest.sentence);
  loadDialog?.ask();
}

socket.onFrame((frame) => {
  if (frame.type === "backlog") begin(frame);
  else if (frame.type === "delta") goOn(frame);
  else if (frame.type === "away") {
    showLive(words.hostAway, "away");
    banner.set("host", words.away);
  }
  heard += 1;
  // The server stops sending to a page that has not taken in what it got.
  if (heard % SEEN_EVERY === 0) socket.send({ type: "seen" });
});

socket.addEventListener("up", () => banner.set("connection", ""));

socket.addEventListener("down", () => {
  showLive(words.notConnected, "away");
  banner.set("connection", words.lost);
});

socket.addEventListener("signedout", () => {
  showLive(words.signedOut, "away");
  const back = `${loginUrl}?next=${encodeURIComponent(location.pathname)}`;
  banner.set("session", box.signedOut, { level: "bad", link: { href: back, text: box.logIn } });
});

// what staff may do --------------------------------------------------------------------------------------------

/** @param {string} text */
function refuse(text) {
  byId("refusal").hidden = !text;
  byId("refusal").textContent = text;
}

const loadRoot = ifThere("load");
const loadDialog = loadRoot && new LoadDialog(loadRoot, refuse);

document.addEventListener("submit", async (event) => {
  const form = around(event.target, "form.residency", HTMLFormElement);
  const button = event.submitter;
  if (!form || !(button instanceof HTMLButtonElement)) return;
  event.preventDefault();
  const doing = act(form, button);
  button.disabled = true;
  refuse(await doing);
  button.disabled = false;
});

document.addEventListener("click", (event) => {
  const link = around(event.target, "[data-load]", HTMLAnchorElement);
  // Held keys mean another tab, where the page without scripts does the same.
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  refuse("");
  loadDialog?.open(link.href);
});

// ---------------------------------------------------------------------------------------------------------------

socket.connect();
