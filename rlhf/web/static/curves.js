// A small diagram: lines over steps, drawn as SVG. The pointer, or the arrow keys, read out the values of a step.

import { element } from "./site.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 190, 52, 8, 8, 22];
const MANY_POINTS = 60; // above this the points hide the trend, so they are pale behind a smoothed line

function svg(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : `${Number(value.toPrecision(3))}`;
}

// Each value's mean with as many neighbours on either side, as in minigpt/runs/log/curves.py.
export function smooth(values, reach) {
  const sums = [0];
  for (const value of values) sums.push(sums.at(-1) + value);
  return values.map((_, at) => {
    const near = Math.min(reach, at, values.length - 1 - at);
    return (sums[at + near + 1] - sums[at - near]) / (2 * near + 1);
  });
}

// A figure of one metric; lines: [{label, color, dashed, x, y}], null in y where there is no value.
export function drawChart(title, lines) {
  const points = lines.map((line) => line.x.map((x, at) => [x, line.y[at]]).filter(([, y]) => y !== null));
  const xs = points.flatMap((line) => [line[0]?.[0], line.at(-1)?.[0]]).filter((x) => x !== undefined);
  const ys = points.flat().map(([, y]) => y);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const widen = ([low, high], y) => [Math.min(low, y), Math.max(high, y)];
  let [y0, y1] = ys.reduce(widen, [Infinity, -Infinity]);
  if (y0 === y1) [y0, y1] = [y0 - (Math.abs(y0) || 1) / 10, y1 + (Math.abs(y1) || 1) / 10];
  const px = (x) => LEFT + ((WIDTH - LEFT - RIGHT) * (x - x0)) / (x1 - x0 || 1);
  const py = (y) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (y - y0) / (y1 - y0));
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0", class: "chart" });
  const range = `from step ${x0} to ${x1}, between ${short(y0)} and ${short(y1)}`;
  picture.setAttribute("aria-label", `${title} ${range}; arrow keys read values`);
  for (const share of [0, 0.5, 1]) {
    const y = y0 + share * (y1 - y0);
    picture.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: py(y), y2: py(y), class: "grid" }));
    picture.append(svg("text", { x: LEFT - 4, y: py(y) + 4, "text-anchor": "end", class: "axis" }, short(y)));
  }
  picture.append(svg("text", { x: LEFT, y: HEIGHT - 6, class: "axis" }, `${x0}`));
  picture.append(svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end", class: "axis" }, `${x1}`));
  points.forEach((line, at) => {
    const { color, dashed } = lines[at];
    const path = (values) => values.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" ");
    const style = `line-${color}${dashed ? " dashed" : ""}`;
    if (line.length > MANY_POINTS) {
      const smoothed = smooth(line.map(([, y]) => y), Math.max(2, Math.floor(line.length / 50)));
      picture.append(svg("polyline", { points: path(line), class: `${style} pale` }));
      picture.append(svg("polyline", { points: path(line.map(([x], number) => [x, smoothed[number]])), class: style }));
    } else picture.append(svg("polyline", { points: path(line), class: style }));
    if (line.length === 1) picture.append(svg("circle", { cx: px(line[0][0]), cy: py(line[0][1]), r: 3, class: style }));
  });
  const readout = element("p", { class: "soft chart-readout", "aria-live": "polite" });
  readValues(picture, readout, lines, points, { x0, x1, px });
  return element("figure", { class: "chart-part" }, element("figcaption", {}, title), picture, readout);
}

function readValues(picture, readout, lines, points, { x0, x1, px }) {
  const mark = svg("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "mark", visibility: "hidden" });
  picture.append(mark);
  const steps = [...new Set(points.flatMap((line) => line.map(([x]) => x)))].sort((a, b) => a - b);
  let at = steps.length - 1;
  const say = (x) => {
    mark.setAttribute("x1", px(x));
    mark.setAttribute("x2", px(x));
    mark.setAttribute("visibility", "visible");
    const values = points.map((line, number) => {
      const value = nearest(line, x);
      return value === undefined ? "" : `${lines.length > 1 ? `${lines[number].label} ` : ""}${short(value)}`;
    });
    readout.textContent = `step ${x}: ${values.filter(Boolean).join(" · ")}`;
  };
  picture.addEventListener("pointermove", (event) => {
    const place = picture.getBoundingClientRect();
    const across = ((event.clientX - place.left) / place.width) * WIDTH;
    const x = x0 + ((across - LEFT) / (WIDTH - LEFT - RIGHT)) * (x1 - x0);
    at = steps.reduce((best, step, number) => (Math.abs(step - x) < Math.abs(steps[best] - x) ? number : best), 0);
    say(steps[at]);
  });
  picture.addEventListener("pointerleave", () => mark.setAttribute("visibility", "hidden"));
  picture.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    at = Math.min(Math.max(at + move, 0), steps.length - 1);
    say(steps[at]);
  });
}

function nearest(line, x) {
  if (!line.length || x > line.at(-1)[0] || x < line[0][0]) return undefined;
  return line.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best))[1];
}
