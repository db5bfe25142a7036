// The attention of each head as a map: small ones to choose from, one large with its weights.

import { element } from "./site.js";
import { percent, visible } from "./tokens.js";

const grid = document.getElementById("heads");
const map = document.getElementById("map");
const readout = document.getElementById("readout");
const SMALL = 84; // pixels of a small map
let result = null;
let shown = null; // the enlarged head, [layer, head]
let cell = [0, 0]; // the cell that is read out: token that looks, token looked at

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The small maps; `change` is called with the heads that are ticked as silent.
export function showHeads(value, silent, change) {
  const fresh = !result || result.layers !== value.layers || result.heads !== value.heads;
  result = value;
  if (fresh) shown = null;
  const quiet = new Set(silent.map((head) => head.join(".")));
  const cards = [];
  for (let layer = 0; layer < value.layers; layer++) {
    for (let head = 0; head < value.heads; head++) cards.push(card(layer, head, quiet, change));
  }
  grid.style.setProperty("--columns", value.heads <= 6 ? value.heads : "auto-fill");
  grid.replaceChildren(...cards);
  if (shown) enlarge(...shown);
}

function card(layer, head, quiet, change) {
  const name = `${layer}.${head}`;
  const canvas = element("canvas", { "aria-hidden": "true" });
  draw(canvas, result.attention[layer][head], SMALL, 0);
  const state = { "aria-label": `Enlarge head ${name}`, "aria-pressed": `${shown?.join(".") === name}` };
  const button = element("button", { type: "button", class: "quiet small-map", ...state }, canvas);
  button.addEventListener("click", () => enlarge(layer, head));
  const box = element("input", { type: "checkbox", "aria-label": `Silence head ${name}` });
  box.checked = quiet.has(name);
  box.addEventListener("change", () => {
    if (box.checked) quiet.add(name);
    else quiet.delete(name);
    change([...quiet].map((one) => one.split(".").map(Number)));
  });
  const label = element("label", { class: "check" }, box, name);
  return element("div", { class: `head-card${box.checked ? " silent" : ""}` }, button, label);
}

// Draws weights, row t with t+1 thousandths, into a square of about `size` pixels; `room` is left for names.
function draw(canvas, rows, size, room) {
  const count = rows.length;
  const side = Math.max(1, Math.floor(size / count));
  const scale = window.devicePixelRatio || 1;
  const pixels = side * count + room;
  canvas.width = canvas.height = pixels * scale;
  canvas.style.width = canvas.style.height = `${pixels}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.fillStyle = colour("--card");
  pen.fillRect(room, room, side * count, side * count);
  pen.fillStyle = colour("--accent");
  rows.forEach((row, t) =>
    row.forEach((weight, s) => {
      if (!weight) return;
      pen.globalAlpha = Math.min(1, Math.sqrt(weight / 1000)); // small weights would be invisible
      pen.fillRect(room + s * side, room + t * side, side, side);
    }),
  );
  pen.globalAlpha = 1;
  return { pen, side };
}

function enlarge(layer, head) {
  shown = [layer, head];
  document.getElementById("map-part").hidden = false;
  const title = `Head ${layer}.${head} (layer ${layer}, head ${head}, counted from 0)`;
  document.getElementById("map-title").textContent = title;
  [...grid.querySelectorAll("button")].forEach((button, at) =>
    button.setAttribute("aria-pressed", `${at === layer * result.heads + head}`),
  );
  drawMap();
  point(...cell);
}

function drawMap() {
  const rows = result.attention[shown[0]][shown[1]];
  const room = 84;
  const wide = Math.min(900, Math.max(290, document.querySelector("main").clientWidth - 34));
  const size = Math.max(rows.length * 9, Math.min(rows.length * 20, wide - room));
  const { pen, side } = draw(map, rows, size, room);
  pen.fillStyle = colour("--text");
  pen.font = `${Math.min(13, Math.max(8, side - 1))}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  result.tokens.forEach((token, at) => {
    const name = visible(token).slice(0, 11);
    pen.textAlign = "right";
    pen.fillText(name, room - 4, room + at * side + side / 2, room - 6);
    pen.save();
    pen.translate(room + at * side + side / 2, room - 4);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "left";
    pen.fillText(name, 0, 0, room - 6);
    pen.restore();
  });
  const [t, s] = cell;
  pen.strokeStyle = colour("--text");
  pen.lineWidth = 2;
  pen.strokeRect(room + s * side, room + t * side, side, side);
  map.place = { room, side };
}

function point(t, s) {
  const last = result.tokens.length - 1;
  t = Math.min(Math.max(t, 0), last);
  s = Math.min(Math.max(s, 0), t);
  cell = [t, s];
  drawMap();
  const weight = result.attention[shown[0]][shown[1]][t][s] / 1000;
  const [from, to] = [t, s].map((at) => `${visible(result.tokens[at])} (token ${at})`);
  readout.textContent = `${from} looks at ${to}: ${percent(weight)}`;
  overText(t);
}

// Shows where the chosen token looks.
export function showRow(t) {
  cell = [t, 0];
  if (!shown) return;
  const row = result.attention[shown[0]][shown[1]][t];
  point(t, row.indexOf(Math.max(...row)));
}

function overText(t) {
  const row = result.attention[shown[0]][shown[1]][t];
  const parts = result.tokens.slice(0, t + 1).map((token, s) => {
    const part = element("span", { title: percent(row[s] / 1000) }, token);
    part.style.setProperty("--weight", Math.sqrt(row[s] / 1000).toFixed(3));
    return part;
  });
  document.getElementById("row").replaceChildren(...parts);
}

map.addEventListener("pointermove", readPointer);
map.addEventListener("pointerdown", readPointer);

function readPointer(event) {
  const { room, side } = map.place;
  const place = map.getBoundingClientRect();
  const s = Math.floor((event.clientX - place.left - room) / side);
  const t = Math.floor((event.clientY - place.top - room) / side);
  if (t >= 0 && s >= 0 && s <= t && t < result.tokens.length && (t !== cell[0] || s !== cell[1])) point(t, s);
}

map.addEventListener("keydown", (event) => {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (!(event.key in moves)) return;
  event.preventDefault();
  point(cell[0] + moves[event.key][0], cell[1] + moves[event.key][1]);
});
