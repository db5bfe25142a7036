// Look inside: the form, and what is shown of a text. attention.js draws the heads.

import { showHeads, showRow } from "./attention.js";
import { element } from "./site.js";
import { events, queueText } from "./stream.js";
import { makeTable } from "./tables.js";
import { addPiece, percent, tokenList, visible } from "./tokens.js";

const form = document.getElementById("look");
const stage = document.getElementById("stage");
const status = document.getElementById("status");
const problem = document.getElementById("problem");
const found = document.getElementById("found");
let running = null;
let silent = []; // heads, as [layer, head]
let options = []; // the tokens on the page
let result = null;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  look(false);
});
document.getElementById("each").addEventListener("click", () => look(true));
stage.addEventListener("change", () => {
  silent = []; // another model has other heads
  look(false);
});
for (const radio of form.querySelectorAll('input[name="kind"]')) {
  radio.addEventListener("change", () => (document.getElementById("begun-field").hidden = isDocument()));
}

function isDocument() {
  return form.querySelector('input[name="kind"]:checked').value === "document";
}

async function look(each) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  problem.textContent = "";
  status.textContent = "Looking …";
  const asked = { stage: stage.value, text: form.text.value, document: isDocument(), silent, each };
  if (!isDocument() && form.begun.value.trim()) asked.begun = form.begun.value;
  let failure = "";
  try {
    for await (const event of events("/inside/look", asked, signal)) {
      if (event.kind === "waiting") status.textContent = queueText(event.before);
      else if (event.kind === "failed") failure = event.sentence;
      else if (event.kind === "result") show(event.value);
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    failure = error.message;
  }
  status.textContent = "";
  if (failure) problem.textContent = failure.charAt(0).toUpperCase() + failure.slice(1) + ".";
}

function show(value) {
  const same = result && result.tokens.join("\n") === value.tokens.join("\n");
  const chosen = same ? options.findIndex((option) => option.classList.contains("current")) : value.tokens.length - 1;
  result = value;
  found.hidden = false;
  showTokens();
  showLosses();
  showHeads(value, silent, (heads) => {
    silent = heads;
    look(false);
  });
  showEach(value.each);
  choose(chosen);
}

// ---- Tokens and their losses ----

function showTokens() {
  const { tokens, whole, without } = result;
  const now = without ?? whole;
  const list = tokenList("The tokens of the text: the arrow keys choose one");
  options = tokens.map((token, at) => {
    const probability = at ? Math.exp(now.logprobs[at - 1]) : 1;
    const choices = at ? now.next[at - 1].slice(0, 5) : [];
    const choice = ([text, share]) => ({ token: text, probability: share, sampled: share });
    const read = { chosen: choice([token, probability]), alternatives: choices.map(choice) };
    const option = addPiece(list, { text: token, tokens: [read] });
    option.addEventListener("click", () => choose(at));
    if (/^<\|/.test(token)) option.classList.add("end");
    return option;
  });
  list.addEventListener("keyup", () => {
    const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (at >= 0) choose(at);
  });
  document.getElementById("tokens").replaceChildren(list);
}

function silentNames() {
  return result.silent.map((head) => head.join(".")).join(", ");
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
}

function showLosses() {
  const { whole, without } = result;
  let text = `Mean loss ${(-mean(whole.logprobs)).toFixed(3)} nats a token`;
  if (without) {
    text += `; without head ${silentNames()}: ${(-mean(without.logprobs)).toFixed(3)}`;
  }
  document.getElementById("mean").textContent = `${text}.`;
  drawLosses(document.getElementById("losses"), whole.logprobs, without?.logprobs);
  const head = ["token", "probability", "loss", ...(without ? ["without", "loss"] : [])];
  const rows = whole.logprobs.map((logprob, at) => [
    visible(result.tokens[at + 1]), percent(Math.exp(logprob)), (-logprob).toFixed(3),
    ...(without ? [percent(Math.exp(without.logprobs[at])), (-without.logprobs[at]).toFixed(3)] : []),
  ]);
  document.getElementById("table").replaceChildren(makeTable(head, rows));
}

function drawLosses(svg, whole, without) {
  const make = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const step = 22;
  const [left, top, height] = [34, 8, 110];
  const width = left + step * whole.length + 8;
  const most = Math.max(1, ...[...whole, ...(without ?? [])].map((logprob) => -logprob));
  const place = (loss) => top + height * (1 - loss / most);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} 190`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", 190);
  svg.setAttribute("aria-label", `Bars from 0 to ${most.toFixed(1)} nats; the table below has the numbers`);
  for (const loss of [0, most / 2, most]) {
    svg.append(make("line", { x1: left, x2: width, y1: place(loss), y2: place(loss), class: "grid" }));
    svg.append(make("text", { x: left - 5, y: place(loss) + 4, class: "axis", "text-anchor": "end" }, loss.toFixed(1)));
  }
  const bars = [[whole, "series-0"], ...(without ? [[without, "series-1"]] : [])];
  bars.forEach(([logprobs, name], which) => {
    const wide = (step - 6) / bars.length;
    logprobs.forEach((logprob, at) => {
      const y = place(-logprob);
      const x = left + step * at + 3 + which * wide;
      const bar = make("rect", { x, y, width: wide, height: top + height - y, class: name });
      bar.append(make("title", {}, `${visible(result.tokens[at + 1])}: ${(-logprob).toFixed(2)} nats`));
      svg.append(bar);
    });
  });
  whole.forEach((_, at) => {
    const [x, y] = [left + step * at + step / 2 + 3, top + height + 12];
    const place = { x, y, transform: `rotate(-60 ${x} ${y})`, class: "axis", "text-anchor": "end" };
    svg.append(make("text", place, visible(result.tokens[at + 1]).slice(0, 9)));
  });
}

// ---- One token ----

function choose(at) {
  options.forEach((option, number) => option.classList.toggle("current", number === at));
  const { tokens, whole, without } = result;
  const before = tokens.slice(Math.max(0, at - 5), at + 1).join("");
  document.getElementById("next-after").textContent = `After “… ${before.trim()}”, by the model:`;
  const parts = [nextList("with all its heads", whole.next[at], "series-0")];
  if (without) parts.push(nextList(`without ${silentNames()}`, without.next[at], "series-1"));
  document.getElementById("next").replaceChildren(element("div", { class: "columns" }, ...parts));
  showRow(at);
}

function nextList(title, choices, name) {
  const rows = choices.map(([token, share]) => {
    const bar = element("span", { class: `bar ${name}`, "aria-hidden": "true" });
    bar.style.width = `${Math.max(1, 100 * share)}%`;
    const what = element("span", { class: "what" }, visible(token));
    const track = element("span", { class: "track" }, bar);
    return element("li", {}, what, track, element("span", { class: "share" }, percent(share)));
  });
  return element("div", {}, element("h3", {}, title), element("ol", { class: "next" }, ...rows));
}

// ---- Each head in turn ----

function showEach(each) {
  document.getElementById("each-part").hidden = !each;
  if (!each) return;
  const name = visible(each.token);
  document.getElementById("each-about").textContent =
    `With all heads the mean loss is ${each.loss?.toFixed(3) ?? "–"} nats a token, and “${name}” comes next with ` +
    `${percent(each.share)}. Without one head:`;
  const cells = (layer) => each.shares[layer].map((share, head) => {
    const loss = each.losses[layer][head];
    const change = loss === null ? "" : `${loss < each.loss ? "−" : "+"}${Math.abs(loss - each.loss).toFixed(3)}`;
    const fall = each.share - share;
    const worth = fall > 0.3 ? "much" : fall > 0.1 ? "some" : "";
    return element("span", { class: worth }, percent(share), element("span", { class: "soft change" }, change));
  });
  const heads = each.shares[0].map((_, head) => `head ${head}`);
  const rows = each.shares.map((_, layer) => [`layer ${layer}`, ...cells(layer)]);
  const table = makeTable(["", ...heads], rows, `The probability of “${name}”, and below it the change of the mean loss`);
  table.className = "each";
  document.getElementById("each-table").replaceChildren(table);
  document.getElementById("each-part").scrollIntoView({ block: "nearest" });
}
