// The blind comparison: two answers whose writers the server keeps to itself until the results are asked for.

import { begin, chosenStages, end, say, suggest } from "./compare.js";
import { readSettings } from "./settings.js";
import { element, load, send } from "./site.js";
import { events, queueText } from "./stream.js";
import { makeTable } from "./tables.js";
import { percent } from "./tokens.js";

const prompt = document.getElementById("prompt");
const status = document.getElementById("status");
const round = document.getElementById("blind-round");
const shown = document.getElementById("blind-answers");
const verdict = document.getElementById("verdict");
const decided = document.getElementById("decided");
const next = document.getElementById("next");
const reveal = document.getElementById("reveal");
const keys = { 1: "first", 2: "second", 0: "tie" };
let current = null; // the number of the round that waits for a verdict

document.getElementById("blind").addEventListener("click", start);
next.addEventListener("click", async () => {
  await suggest();
  await start();
});
reveal.addEventListener("click", showResults);
verdict.addEventListener("click", (event) => event.target.dataset.winner && decide(event.target.dataset.winner));
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (current && plain && !typing && event.key in keys) decide(keys[event.key]);
});

async function start() {
  if (!prompt.value.trim()) await suggest();
  const asked = { stages: chosenStages().map(({ name }) => name), prompt: prompt.value, ...readSettings() };
  const signal = begin();
  const texts = [];
  let id = null;
  let failure = "";
  try {
    for await (const event of events("/compare/blind", asked, signal)) {
      if (event.round) id = event.round;
      else if (event.kind === "waiting") status.textContent = queueText(event.before);
      else if (event.kind === "answer") texts[event.column] = event;
      else if (event.kind === "failed") failure = event.sentence;
    }
  } catch (error) {
    failure = error.name === "AbortError" ? "stopped" : error.message;
  }
  end();
  if (failure) return failure === "stopped" ? undefined : say(failure);
  current = id;
  document.getElementById("answers").replaceChildren();
  document.getElementById("results").hidden = true;
  document.getElementById("blind-prompt").textContent = prompt.value.trim();
  shown.replaceChildren(...texts.map(answerCard));
  decided.textContent = "";
  next.hidden = reveal.hidden = true;
  setVerdict(true);
  round.hidden = false;
  document.getElementById("blind-title").focus();
}

function answerCard(answer, at) {
  const text = `${answer.text || "(nothing)"}${answer.ended ? "" : " … (cut off)"}`;
  const heading = element("h3", {}, `Answer ${at + 1}`);
  return element("article", { class: "card" }, heading, element("p", { class: "text" }, text));
}

function setVerdict(open) {
  for (const button of verdict.children) button.disabled = !open;
}

async function decide(winner) {
  const id = current;
  current = null;
  setVerdict(false);
  try {
    const answer = await send("/compare/verdict", { round: id, winner });
    decided.textContent = `Kept. You have decided ${answer.decided} ${answer.decided === 1 ? "round" : "rounds"}.`;
    next.hidden = reveal.hidden = false;
    next.focus();
  } catch (error) {
    say(error.message);
    current = id; // the same verdict may be sent again: it counts once
    setVerdict(true);
  }
}

async function showResults() {
  try {
    const { rounds, own, all } = await load("/compare/results");
    const tables = [ratesTable("Your verdicts", own), ratesTable("Everybody's verdicts", all)];
    document.getElementById("results-tables").replaceChildren(...tables, roundsTable(rounds));
    document.getElementById("results").hidden = false;
    document.getElementById("results-title").focus();
    document.getElementById("results").scrollIntoView({ block: "start" });
  } catch (error) {
    say(error.message);
  }
}

function ratesTable(caption, rates) {
  const head = ["", "won", "lost", "as good", "win rate", "95 % interval"];
  const rows = rates.map((rate) => {
    const decided = rate.wins + rate.losses > 0;
    return [
      `${rate.first} against ${rate.second}`,
      rate.wins,
      rate.losses,
      rate.ties,
      decided ? percent(rate.rate) : "–",
      decided ? `${percent(rate.low)} to ${percent(rate.high)}` : "–",
    ];
  });
  return scrolled(caption, makeTable(head, rows, caption));
}

function roundsTable(rounds) {
  const caption = "Your rounds since the server was started";
  const rows = rounds.map(({ prompt: asked, stages: [first, second], verdict: said }) => [
    asked,
    first,
    second,
    { first, second, tie: "as good as each other" }[said],
  ]);
  return scrolled(caption, makeTable(["prompt", "first", "second", "better"], rows, caption));
}

function scrolled(label, table) {
  return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, table);
}
