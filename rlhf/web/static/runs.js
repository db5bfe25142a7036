// Runs: which logs are drawn, what they have got since the last time, and what the stages wrote on the way.

import { drawChart } from "./curves.js";
import { element, load } from "./site.js";
import { makeTable } from "./tables.js";

const EVERY = 2000; // milliseconds
const FIRST = [
  "loss", "accuracy", "reward", "objective/scores", "objective/kl_nats_per_sequence", "kl_nats_per_sequence",
  "val/ended_share", "val/response_length", "mean_token_accuracy", "bits_per_byte", "ended_share", "response_length",
]; // what is drawn unless every metric is asked for
const list = document.getElementById("logs");
const charts = document.getElementById("charts");
const all = document.getElementById("all");
const problem = document.getElementById("problem");
const status = document.getElementById("status");
const samplesOf = document.getElementById("samples-of");
const when = document.getElementById("when");
const logs = new Map(); // name -> { live, ticked, color, file, next, x, series }
let sections = [];

all.addEventListener("change", draw);
window.addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
samplesOf.addEventListener("change", () => {
  sections = [];
  showSamples();
});
when.addEventListener("input", showSection);
watch();

async function watch() {
  if (!document.hidden) {
    try {
      await refreshList();
      const wanted = [...logs.values()].filter((log) => log.ticked && (log.live || !log.file));
      const read = await Promise.all(wanted.map(refresh));
      if (read.some(Boolean)) draw();
      if (logs.get(samplesOf.value)?.live) await showSamples();
      problem.textContent = "";
    } catch (error) {
      problem.textContent = error.status === undefined ? "The connection was lost; trying again." : `${error.message}.`;
    }
  }
  setTimeout(watch, EVERY);
}

// ---- Which logs there are ----

async function refreshList() {
  const found = (await load("/runs/list")).logs;
  const names = found.map(({ name }) => name);
  const before = [...logs.keys()].join("\n");
  const fresh = logs.size === 0;
  for (const [name, { ticked }] of logs) {
    if (names.includes(name)) continue;
    logs.delete(name);
    // a stage that has ended takes the place of its old result
    const result = logs.get(name.replace(/ \(again\)$/, ""));
    if (ticked && result) result.ticked = true;
  }
  for (const { name, live } of found) {
    const ticked = live || (fresh && name === preferred(names));
    const log = logs.get(name) ?? { name, ticked, file: 0, next: 0, x: [], series: {} };
    log.live = live || (log.live && log.ticked && !live ? lastLook(log) : false);
    logs.set(name, log);
  }
  if (before !== names.join("\n")) {
    showList();
    showSampleNames(names);
    draw();
  }
  for (const box of list.querySelectorAll("input")) {
    box.nextElementSibling.hidden = !found.find(({ name }) => name === box.value).live;
  }
  const growing = found.filter(({ live }) => live).map(({ name }) => name);
  const text = growing.length ? `Training now: ${growing.join(", ")}.` : "";
  if (status.textContent !== text) status.textContent = text;
}

// A log that has just stopped growing is read once more, for its last lines.
function lastLook(log) {
  log.live = false;
  refresh(log).then((changed) => changed && draw());
  return false;
}

function preferred(names) {
  return ["ppo", "reward_model", "sft", "pretrain"].find((name) => names.includes(name)) ?? names[0];
}

function showList() {
  const boxes = [...logs.values()].map((log) => {
    const box = element("input", { type: "checkbox", value: log.name });
    box.checked = log.ticked;
    box.addEventListener("change", async () => {
      log.ticked = box.checked;
      if (log.ticked && !log.file) await refresh(log).catch((error) => (problem.textContent = `${error.message}.`));
      draw();
    });
    const live = element("span", { class: "live", hidden: true, title: "training" }, "●");
    return element("label", { class: "check" }, box, live, log.name);
  });
  const nothing = element("span", { class: "soft" }, "Nothing has been trained yet.");
  list.replaceChildren(...(boxes.length ? boxes : [nothing]));
}

// ---- What a log has got since the last time ----

async function refresh(log) {
  let changed = false;
  for (;;) {
    const query = new URLSearchParams({ name: log.name, from: log.next, file: log.file });
    const part = await load(`/runs/part?${query}`);
    if (part.file !== log.file || part.from < log.next) Object.assign(log, { x: [], series: {} }); // another file
    for (const [name, values] of Object.entries(part.series)) {
      log.series[name] ??= Array(log.x.length).fill(null);
      log.series[name].push(...values);
    }
    log.x.push(...part.x);
    for (const values of Object.values(log.series)) while (values.length < log.x.length) values.push(null);
    changed ||= part.x.length > 0;
    Object.assign(log, { file: part.file, next: part.next });
    if (!part.more || !part.x.length) return changed;
  }
}

// ---- Curves ----

function draw() {
  const ticked = [...logs.values()].filter((log) => log.ticked && log.x.length);
  ticked.forEach((log, at) => (log.color = at % 6));
  const swatch = ({ color }) => element("span", { class: `swatch line-${color}`, "aria-hidden": "true" });
  document.getElementById("legend").replaceChildren(...ticked.map((log) => element("li", {}, swatch(log), log.name)));
  const names = [...new Set(ticked.flatMap((log) => Object.keys(log.series)))];
  const panels = [...new Set(names.map((name) => name.replace(/^eval_/, "")))];
  const wanted = panels.filter((name) => all.checked || FIRST.includes(name));
  const drawn = wanted.length ? wanted : panels.slice(0, 6);
  drawn.sort((a, b) => (FIRST.indexOf(a) + 99) % 99 - (FIRST.indexOf(b) + 99) % 99);
  const focused = [...charts.children].findIndex((chart) => chart.contains(document.activeElement));
  charts.replaceChildren(...drawn.map((name) => drawChart(name, linesOf(name, ticked))));
  charts.children[focused]?.querySelector("svg").focus({ preventScroll: true });
  showLatest(names, ticked);
}

// The lines of one panel: a metric and, dashed, the same on held-out data.
function linesOf(name, ticked) {
  return ticked.flatMap((log) =>
    [name, `eval_${name}`].filter((one) => one in log.series).map((one) => ({
      label: one === name ? log.name : `${log.name}, held out`,
      color: log.color,
      dashed: one !== name,
      x: log.x,
      y: log.series[one],
    })),
  );
}

function showLatest(names, ticked) {
  const last = (values) => values?.findLast((value) => value !== null) ?? "";
  const rows = names.map((name) => [name, ...ticked.map((log) => last(log.series[name]))]);
  const head = ["metric", ...ticked.map((log) => `${log.name} (${log.x.at(-1)})`)];
  document.getElementById("latest").replaceChildren(makeTable(head, rows));
}

// ---- Samples ----

function showSampleNames(names) {
  const chosen = samplesOf.value || preferred(names);
  const option = (name) => element("option", { value: name, selected: name === chosen }, name);
  samplesOf.replaceChildren(...names.map(option));
  if (names.length) showSamples();
}

// Of a stage that is training they come one by one: the newest is shown, unless an older one has been chosen.
async function showSamples() {
  const newest = !sections.length || Number(when.value) === sections.length - 1;
  try {
    sections = (await load(`/runs/samples?${new URLSearchParams({ name: samplesOf.value })}`)).sections;
  } catch (error) {
    sections = [];
    problem.textContent = `${error.message}.`;
  }
  document.getElementById("samples-part").hidden = !sections.length;
  document.getElementById("no-samples").hidden = sections.length > 0;
  when.max = Math.max(0, sections.length - 1);
  if (newest) when.value = when.max;
  if (sections.length) showSection();
}

function showSection() {
  const { title, text } = sections[Number(when.value)];
  document.getElementById("when-title").textContent = title;
  when.setAttribute("aria-valuetext", title);
  document.getElementById("sample").textContent = text; // text: whatever a model wrote is never read as HTML
}
