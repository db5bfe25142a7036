// One prompt, the answers of several stages side by side.

import { element, load } from "./site.js";
import { events, queueText } from "./stream.js";
import { readSettings } from "./settings.js";
import { addPiece, footOf, tokenList } from "./tokens.js";

const form = document.getElementById("compare");
const prompt = document.getElementById("prompt");
const status = document.getElementById("status");
const problem = document.getElementById("problem");
const stop = document.getElementById("stop");
const answers = document.getElementById("answers");
let running = null;

// The stages that are ticked: their names, and what people call them.
export function chosenStages() {
  const ticked = [...document.querySelectorAll('input[name="stage"]:checked')];
  return ticked.map((box) => ({ name: box.value, title: box.parentElement.textContent.trim() }));
}

export function say(text) {
  problem.textContent = text ? text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "";
}

// Puts a prompt of the toy world into the field.
export async function suggest() {
  try {
    prompt.value = (await load("/compare/prompt")).prompt;
    say("");
  } catch (error) {
    say(error.message);
  }
}

export function begin() {
  running?.abort();
  running = new AbortController();
  stop.hidden = false;
  say("");
  status.textContent = "Asking …";
  return running.signal;
}

export function end() {
  stop.hidden = true;
  status.textContent = "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  compare(chosenStages(), Number(document.getElementById("samples").value));
});
stop.addEventListener("click", () => running?.abort());
document.getElementById("suggest").addEventListener("click", suggest);

async function compare(stages, samples) {
  if (!stages.length) return say("choose at least one stage");
  const signal = begin();
  document.getElementById("blind-round").hidden = true;
  const cells = stages.map(({ title }) => Array.from({ length: samples }, () => cell(title)));
  const columns = stages.map(({ title }, at) =>
    element("article", { class: "card" }, element("h3", {}, title), ...cells[at].map((one) => one.box)),
  );
  const heading = element("h2", { class: "visually-hidden" }, "Answers");
  const asked = element("p", { class: "text asked" }, prompt.value.trim());
  answers.replaceChildren(heading, asked, element("div", { class: "columns" }, ...columns));
  try {
    const names = stages.map(({ name }) => name);
    const question = { stages: names, prompt: prompt.value, samples, ...readSettings() };
    for await (const event of events("/compare/answers", question, signal)) show(event, stages, cells, columns);
    if (!signal.aborted) end();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
    end();
  }
}

function cell(title) {
  const tokens = tokenList(`${title}'s answer by tokens: the arrow keys show how probable each was`);
  const foot = element("p", { class: "soft foot" });
  return { tokens, foot, box: element("div", { class: "sample" }, tokens, foot) };
}

function show(event, stages, cells, columns) {
  const { column } = event;
  if (event.kind === "waiting") status.textContent = queueText(event.before);
  else if (event.kind === "begun") status.textContent = `${stages[column].title} is writing …`;
  else if (event.kind === "piece") addPiece(cells[column][event.sample].tokens, event);
  else if (event.kind === "failed") columns[column].append(element("p", { class: "error" }, event.sentence));
  else if (event.kind === "answer") cells[column][event.sample].foot.append(...footOf(event));
}
