// The training on the teacher's page: what runs now, and its curves as they grow.

import { element, load } from "./site.js";

const EVERY_MILLISECONDS = 2000;
const NAMES = { reward_model: "The reward model", ppo: "PPO", prepare: "The preparation of the prompts" };
const TITLES = {
  loss: "Reward model: loss",
  accuracy: "Reward model: pairs in your order",
  "objective/scores": "PPO: score of the answers by your reward model",
  "objective/kl_nats_per_sequence": "PPO: KL from the SFT policy, nats per answer",
};
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);

watch();

async function watch() {
  let running = true;
  try {
    const job = await load("/teacher/job");
    running = job.state === "running";
    show(job);
  } catch (error) {
    at("job").textContent = error.status === undefined ? "No connection; trying again." : error.message;
  }
  setTimeout(watch, running ? EVERY_MILLISECONDS : 5 * EVERY_MILLISECONDS);
}

function show(job) {
  for (const button of document.querySelectorAll("button.train")) {
    if (job.state === "running") button.disabled = true;
    else if (button.value !== "ppo") button.disabled = false;
  }
  const name = NAMES[job.step] ?? job.step;
  const texts = {
    none: "",
    running: `${name} is training …${job.percent ? ` ${job.percent} %` : ""}`,
    done: job.kind === "prepare" ? "" : `Done: ${name} is trained.`,
    failed: `${name} failed: ${job.message}`,
  };
  const text = job.step === "prepare" && job.state === "running" ? "The prompts are being prepared …" : texts[job.state];
  if (at("job").textContent !== text) at("job").textContent = text; // once: it is read aloud
  if (job.state === "done" && job.step === "ppo") at("trained").hidden = false;
  for (const metrics of Object.values(job.curves ?? {})) {
    for (const [metric, points] of Object.entries(metrics)) draw(metric, points);
  }
}

// A line in an SVG; what is drawn is also said in words.
function draw(metric, points) {
  if (points.length < 2) return;
  const id = `curve-${metric.replaceAll("/", "-")}`;
  let figure = at(id);
  if (!figure) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 100 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.append(document.createElementNS(SVG, "polyline"));
    figure = element("figure", { id }, element("figcaption"), svg);
    at("curves").append(figure);
  }
  const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
  const place = (value, all) => (value - Math.min(...all)) / (Math.max(...all) - Math.min(...all) || 1);
  const corners = points.map(([x, y]) => `${4 + 92 * place(x, xs)},${94 - 88 * place(y, ys)}`);
  figure.querySelector("polyline").setAttribute("points", corners.join(" "));
  const caption = `${TITLES[metric] ?? metric}: ${ys[0].toPrecision(3)} → ${ys.at(-1).toPrecision(3)} (step ${xs.at(-1)})`;
  figure.querySelector("figcaption").textContent = caption;
  figure.querySelector("svg").setAttribute("aria-label", caption);
}
