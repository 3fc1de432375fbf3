// The entry of the dashboard: the server painted first; from here on the frames of /ws/host/ patch it.
import { announce } from "./announcer.js";
import { Banner } from "./banner.js";
import { Bars, Colours } from "./dashboard_bars.js";
import { Charts } from "./dashboard_charts.js";
import { Log, showModels, showQueue, showResidents, showTopbar } from "./dashboard_lists.js";
import { duration } from "./numbers.js";
import { ChatSocket } from "./socket.js";

const SEEN_EVERY = 5;
const AWAY = "The model host does not answer. It is restarted by itself; this page follows when it is back.";

const byId = (id) => document.getElementById(id);
const painted = (id) => JSON.parse(byId(id).textContent);
const { csrf, loginUrl, socketPath, user } = document.body.dataset;

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
  showQueue(state.queue, names, user);
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
    if (state.decisions.length) announce(state.decisions.at(-1).sentence);
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

async function act(button) {
  const pressed = button.getAttribute("aria-pressed") === "true";
  const action = button.dataset.act === "pin" && pressed ? "unpin" : button.dataset.act;
  const { variant } = button.closest("[data-variant]").dataset;
  button.disabled = true;
  try {
    const answer = await fetch(`/residency/${variant}/`, {
      method: "POST",
      headers: { "X-CSRFToken": csrf },
      body: new URLSearchParams({ action }),
    });
    refuse(answer.ok ? "" : ((await answer.json()).detail ?? "The box refused that."));
  } catch {
    refuse("The box could not be reached. Try again.");
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) act(button);
});

// ---------------------------------------------------------------------------------------------------------------

socket.connect();
