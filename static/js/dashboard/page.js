// The entry of the dashboard: the server painted first; from here on the frames of /ws/host/ patch it.
import { announce } from "../shared/announcer.js";
import { Banner } from "../shared/banner.js";
import { Bars, Colours } from "./bars.js";
import { Charts } from "./charts.js";
import { Log, showModels, showQueue, showResidents, showTopbar } from "./lists.js";
import { act, LoadDialog } from "./load_dialog.js";
import { duration } from "../shared/numbers.js";
import { ChatSocket } from "../shared/socket.js";

const SEEN_EVERY = 5;
const AWAY = "The model host does not answer. It is restarted by itself; this page follows when it is back.";

const byId = (id) => document.getElementById(id);
const painted = (id) => JSON.parse(byId(id).textContent);
const { loginUrl, socketPath, user } = document.body.dataset;

const names = new Map(Object.entries(painted("names-payload")).map(([id, name]) => [Number(id), name]));
const banner = new Banner();
const socket = new ChatSocket(socketPath);
const colours = new Colours();
const bars = new Bars(colours);
const charts = new Charts(colours, (id) => names.get(id) ?? "a model");
const log = new Log();
let heard = 0;

function show(state) {
  for (const { variant_id: id, name } of state.variants) names.set(id, name);
  colours.keep(state.variants);
  bars.show(state.devices, state.variants);
  showResidents(state.variants);
  showModels(state.variants);
  showTopbar(state.variants);
  showQueue(state.queue, user);
  const facts = `The model host has been up for ${duration(state.uptime_seconds)} (process ${state.pid}).`;
  byId("host-facts").hidden = false;
  if (byId("host-facts").textContent !== facts) byId("host-facts").textContent = facts;
}

function showLive(words, state) {
  byId("live").hidden = false;
  byId("live").dataset.state = state;
  if (byId("live-words").textContent !== words) byId("live-words").textContent = words;
}

const hear = {
  backlog(state) {
    banner.set("host", "");
    showLive("live", "live");
    show(state);
    log.show(state.decisions);
    charts.fill(state);
  },

  delta(state) {
    show(state);
    log.add(state.decisions);
    charts.add(state);
    if (!state.decisions.length) return;
    announce(state.decisions.at(-1).sentence);
    loadDialog?.ask();
  },

  away() {
    showLive("host away", "away");
    banner.set("host", AWAY);
  },
};

socket.addEventListener("frame", ({ detail }) => {
  hear[detail.type]?.(detail);
  heard += 1;
  // The server stops sending to a page that has not taken in what it got.
  if (heard % SEEN_EVERY === 0) socket.send({ type: "seen" });
});

socket.addEventListener("up", () => banner.set("connection", ""));

socket.addEventListener("down", () => {
  showLive("not connected", "away");
  banner.set("connection", "Connection lost; trying again. What you see is from before.");
});

socket.addEventListener("signedout", () => {
  showLive("signed out", "away");
  const back = `${loginUrl}?next=${encodeURIComponent(location.pathname)}`;
  banner.set("session", "You are no longer logged in.", { level: "bad", link: { href: back, text: "Log in again" } });
});

// what staff may do --------------------------------------------------------------------------------------------

function refuse(text) {
  byId("refusal").hidden = !text;
  byId("refusal").textContent = text;
}

const loadDialog = byId("load") && new LoadDialog(byId("load"), refuse);

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.residency");
  if (!form) return;
  event.preventDefault();
  const doing = act(form, event.submitter);
  event.submitter.disabled = true;
  refuse(await doing);
  event.submitter.disabled = false;
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-load]");
  // Held keys mean another tab, where the page without scripts does the same.
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  refuse("");
  loadDialog.open(link.href);
});

// ---------------------------------------------------------------------------------------------------------------

socket.connect();
