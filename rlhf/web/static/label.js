// Ranking: places 1 ... K for the answers, by click, key or drag; a label is sent until the server says that it is kept.

import { element, HttpError, load, newKey, send } from "./site.js";

const RETRY_MILLISECONDS = 3000;
const WAITING = "label that waits"; // in localStorage: it survives a reload and a telephone that is switched off

const at = (id) => document.getElementById(id);
const form = at("ranking");
let item = null; // what is on the page
let shownSince = 0;
let more = false; // beyond what was asked
let busy = false;

if (form) start();
else wait();

// Until the prompts are prepared.
async function wait() {
  const state = await load("/label/ready").catch(() => ({}));
  if (state.ready) location.reload();
  at("alert").textContent = state.message ?? "";
  at("percent").textContent = state.percent ? ` ${state.percent} % are answered.` : "";
  setTimeout(wait, RETRY_MILLISECONDS);
}

async function start() {
  form.addEventListener("submit", (event) => { event.preventDefault(); submit("ranked"); });
  at("all-bad").addEventListener("click", () => submit("all_bad"));
  at("skip").addEventListener("click", () => submit("skipped"));
  at("undo").addEventListener("click", undo);
  at("undo-finished").addEventListener("click", undo);
  at("more").addEventListener("click", () => { more = true; ask("/label/next", {}); });
  document.addEventListener("keydown", onKey);
  const waiting = readWaiting();
  if (waiting) await ask("/label", waiting, "The label from before was saved.");
  else await ask("/label/next", {});
}

// ---- The server --------------------------------------------------------------------------------------------------

function submit(outcome) {
  if (busy || !item || (outcome === "ranked" && at("save").disabled)) return;
  const label = {
    key: newKey(),
    item: item.id,
    outcome,
    ranks: outcome === "ranked" ? places() : [],
    reason: at("reason").value,
    seconds: (Date.now() - shownSince) / 1000,
  };
  localStorage.setItem(WAITING, JSON.stringify({ ...label, person: me() }));
  ask("/label", label, outcome === "skipped" ? "Skipped." : "Saved.");
}

function undo() {
  if (!busy) ask("/label/undo", { key: newKey() }, "Undone: here it is again.");
}

// Sends until there is an answer: the same key each time, so that what arrives twice counts once.
async function ask(address, object, said = "") {
  busy = true;
  setButtons();
  for (;;) {
    try {
      const state = await send(address, { ...object, more });
      forget(address);
      at("alert").textContent = "";
      busy = false;
      show(state, said);
      return;
    } catch (error) {
      // what the server refuses it will refuse again; too many requests and a server that restarts pass
      const final = error instanceof HttpError && error.status < 500 && error.status !== 429;
      at("alert").textContent = final
        ? error.message
        : "No connection. What you did is kept on this device and sent again until it has arrived.";
      if (final) {
        forget(address);
        busy = false;
        setButtons();
        // ranked already, in another window perhaps: on with what is open now, and the sentence stays
        if (address === "/label") await send("/label/next", { more }).then((state) => show(state, ""), () => {});
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
    }
  }
}

function forget(address) {
  if (address === "/label") localStorage.removeItem(WAITING);
}

function me() {
  return document.querySelector("header .me").textContent;
}

// The label that was not acknowledged before the page was left; somebody else's is not sent.
function readWaiting() {
  try {
    const { person, ...label } = JSON.parse(localStorage.getItem(WAITING));
    return person === me() ? label : null;
  } catch {
    return null;
  }
}

// ---- The page ----------------------------------------------------------------------------------------------------

function show(state, said) {
  item = state.item;
  form.hidden = !item;
  at("finished").hidden = Boolean(item);
  at("progress").max = Math.max(state.asked, state.ranked);
  at("progress").value = state.ranked;
  at("progress-text").textContent = `${state.ranked} of ${state.asked} prompts`;
  at("status").textContent = said;
  if (item) showItem();
  else showFinished(state);
  setButtons();
}

function showItem() {
  at("prompt").replaceChildren(...item.prompt.map((turn) =>
    element("p", { class: "text" }, item.prompt.length > 1 ? `${turn.role}: ${turn.content}` : turn.content)));
  at("answers").replaceChildren(...item.answers.map(card));
  at("reason").value = "";
  shownSince = Date.now();
  mark(cards()[0], false);
}

function card(answer, index) {
  const name = `Answer ${"ABCDEFGHI"[index]}`;
  const buttons = item.answers.map((_, place) =>
    element("label", { class: "place" },
      element("input", { type: "radio", name: `place-${index}`, value: place + 1, "aria-label": `${name}: place ${place + 1}` }),
      element("span", { "aria-hidden": "true" }, String(place + 1))));
  const made = element("li", { class: "card", "data-index": index },
    element("button", { type: "button", class: "handle quiet", "aria-label": `Drag ${name}`, tabindex: "-1" }, "⠿"),
    element("p", { class: "text" }, answer.text.trim() || element("span", { class: "cut" }, "(nothing)"),
      answer.ended ? "" : element("span", { class: "cut" }, " … (cut off)")),
    element("fieldset", {}, element("legend", {}, `${name}, place`), ...buttons));
  made.addEventListener("change", setButtons);
  made.addEventListener("focusin", () => mark(made, false));
  made.querySelector(".handle").addEventListener("pointerdown", (event) => drag(event, made));
  return made;
}

const cards = () => [...at("answers").children];
const placeOf = (li) => Number(li.querySelector("input:checked")?.value ?? 0);

// The places in the order in which the server gave the answers, wherever they were dragged since.
function places() {
  return cards().sort((a, b) => a.dataset.index - b.dataset.index).map(placeOf);
}

function setPlace(li, place) {
  li.querySelector(`input[value="${place}"]`).checked = true;
}

function setButtons() {
  at("save").disabled = busy || !item || cards().some((li) => !placeOf(li));
  for (const id of ["all-bad", "skip", "undo", "undo-finished", "more"]) at(id).disabled = busy;
}

function mark(li, focus = true) {
  for (const other of cards()) other.classList.toggle("marked", other === li);
  if (focus && li) (li.querySelector("input:checked") ?? li.querySelector("input")).focus();
}

function showFinished(state) {
  at("finished-text").textContent = state.exhausted
    ? "There is no prompt left that you have not seen and that still needs somebody."
    : `You have ranked ${state.ranked} prompts, as many as were asked of you.`;
  const own = state.agreement;
  at("agreement").textContent = own
    ? `You and ${own.people} other ${own.people === 1 ? "person" : "people"} ordered ${own.pairs} pairs of answers: ` +
      `${Math.round(100 * own.agreement)} % of them alike. By chance it would be 50 %.`
    : "Nobody else has ranked the same prompts yet: look here again later to see how far you agree.";
  at("more").hidden = state.exhausted;
  at("finished-heading").focus();
}

// ---- Keys and dragging -------------------------------------------------------------------------------------------

function onKey(event) {
  const inText = event.target.matches("select, textarea, input:not([type=radio]), summary, a");
  if (event.ctrlKey || event.metaKey || event.altKey || inText || form.hidden || !at("keys").checked) return;
  const marked = cards().findIndex((li) => li.classList.contains("marked"));
  if (/^[1-9]$/.test(event.key) && Number(event.key) <= cards().length) {
    setPlace(cards()[marked], event.key);
    setButtons();
    mark(cards().slice(marked + 1).find((li) => !placeOf(li)) ?? cards().find((li) => !placeOf(li)) ?? cards()[marked]);
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const next = marked + (event.key === "ArrowDown" ? 1 : -1);
    mark(cards()[Math.min(Math.max(next, 0), cards().length - 1)]);
  } else if (event.key === "Enter" && !event.target.matches("button")) submit("ranked");
  else if (event.key.toLowerCase() === "b") submit("all_bad");
  else if (event.key.toLowerCase() === "s") submit("skipped");
  else if (event.key.toLowerCase() === "u") undo();
  else return;
  event.preventDefault();
}

// Follows the pointer, finger or mouse. Where the cards lie in the end are their places. The others step aside and the
// dragged one is never taken out of the page: it would lose the pointer.
function drag(event, li) {
  event.preventDefault();
  const handle = event.currentTarget;
  handle.setPointerCapture(event.pointerId);
  li.classList.add("dragged");
  const middle = (other) => { const box = other.getBoundingClientRect(); return box.top + box.height / 2; };
  const move = ({ clientY }) => {
    while (li.nextElementSibling && clientY > middle(li.nextElementSibling)) li.before(li.nextElementSibling);
    while (li.previousElementSibling && clientY < middle(li.previousElementSibling)) li.after(li.previousElementSibling);
  };
  const stop = (ended) => {
    handle.removeEventListener("pointermove", move);
    li.classList.remove("dragged");
    if (ended.type === "pointerup") cards().forEach((other, place) => setPlace(other, place + 1));
    setButtons();
  };
  handle.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, stop, { once: true });
}
