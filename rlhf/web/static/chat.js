// The chat: the conversation lives here, in the browser, and is sent whole with each question.

import { element } from "./site.js";
import { events, queueText } from "./stream.js";
import { addPiece, footOf, tokenList } from "./tokens.js";
import { readSettings } from "./settings.js";

const form = document.getElementById("ask");
const question = document.getElementById("question");
const stage = document.getElementById("stage");
const log = document.getElementById("log");
const status = document.getElementById("status");
const spoken = document.getElementById("spoken"); // a screen reader hears whole answers, not tokens
const problem = document.getElementById("problem");
const stop = document.getElementById("stop");
const sendButton = document.getElementById("send");

let turns = [];
let running = null; // the AbortController of the answer that is being written

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running && question.value.trim()) ask(question.value.trim());
});
question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
stop.addEventListener("click", () => running?.abort());
document.getElementById("new").addEventListener("click", () => {
  running?.abort();
  turns = [];
  log.replaceChildren();
  status.textContent = "A new conversation.";
  problem.textContent = "";
  question.focus();
});

async function ask(text) {
  const name = stage.selectedOptions[0].dataset.short;
  const said = element("div", { class: "turn user" }, element("h2", {}, "You"), element("p", { class: "text" }, text));
  const tokens = tokenList(`${name}'s answer by tokens: the arrow keys show how probable each was`);
  const foot = element("p", { class: "soft foot" });
  const reply = element("div", { class: "turn assistant" }, element("h2", {}, name), tokens, foot);
  log.append(said, reply);
  problem.textContent = "";
  question.value = "";
  begin();
  let answer = null;
  let failure = "";
  try {
    const asked = { stage: stage.value, turns: [...turns, { role: "user", text }], ...readSettings() };
    for await (const event of events("/chat/answer", asked, running.signal)) {
      if (event.kind === "waiting") status.textContent = queueText(event.before);
      else if (event.kind === "begun") status.textContent = `${name} is writing …`;
      else if (event.kind === "piece") addPiece(tokens, event);
      else if (event.kind === "answer") answer = event;
      else if (event.kind === "failed") failure = event.sentence;
      if (event.kind === "begun" && event.forgotten) reply.before(forgottenNote(event.forgotten));
      if (event.kind === "piece" || event.kind === "begun") reply.scrollIntoView({ block: "nearest" });
    }
  } catch (error) {
    failure = error.name === "AbortError" ? "stopped" : error.message;
  }
  end();
  if (answer) {
    turns.push({ role: "user", text }, { role: "assistant", text: answer.text });
    foot.append(...footOf(answer));
    status.textContent = "";
    spoken.textContent = `${name}: ${answer.text}${answer.ended ? "" : " … (cut off)"}`;
  } else {
    reply.classList.add("failed");
    foot.textContent = failure === "stopped" ? "Stopped: this answer is not part of the conversation." : "No answer.";
    status.textContent = "";
    if (failure !== "stopped") problem.textContent = sentence(failure || "the connection was lost: ask again");
    question.value = question.value || text;
  }
}

function begin() {
  running = new AbortController();
  sendButton.hidden = true;
  stop.hidden = false;
  status.textContent = "Asking …";
}

function end() {
  running = null;
  sendButton.hidden = false;
  stop.hidden = true;
}

function forgottenNote(count) {
  const text = `The ${count} oldest turns no longer fit into what this model can read, and are forgotten.`;
  return element("p", { class: "soft note" }, text);
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
