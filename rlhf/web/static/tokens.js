// An answer as its tokens: each is tinted by its probability, and shows its alternatives on hover, focus or touch.

import { element } from "./site.js";

const panel = element("div", { class: "token-panel", role: "tooltip", id: "token-panel", hidden: true });
document.querySelector("main").append(panel);
let shown = null;

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share > 0.999 && share < 1) return "> 99.9 %";
  const round = share === 0 || share === 1 || (share >= 0.0995 && share <= 0.99);
  return `${(100 * share).toFixed(round ? 0 : 1)} %`;
}

// A token as a person can read it: a leading space shows as ␣, a line break as ↵.
export function visible(token) {
  return token.replaceAll("\n", "↵").replace(/^ /, "␣").replace(/ $/, "␣") || "(nothing)";
}

// An empty answer: `add` appends pieces to it. One tab stop; the arrow keys move between its tokens.
export function tokenList(label) {
  const list = element("div", { class: "tokens text", role: "listbox", "aria-label": label, tabindex: "0" });
  list.addEventListener("focus", () => list.firstElementChild && show(list.firstElementChild));
  list.addEventListener("blur", hide);
  list.addEventListener("keydown", (event) => {
    const options = [...list.children];
    const at = options.indexOf(shown);
    const [before, after, last] = [at - 1, at + 1, options.length - 1];
    const next = { ArrowLeft: before, ArrowUp: before, ArrowRight: after, ArrowDown: after, Home: 0, End: last };
    if (event.key === "Escape") hide();
    else if (event.key in next && options.length) {
      event.preventDefault();
      show(options[Math.min(Math.max(next[event.key], 0), last)]);
    }
  });
  return list;
}

// Appends a piece of an answer, as the server sends it.
export function addPiece(list, piece) {
  if (!piece.tokens.length) return list.append(piece.text); // bytes at the end that are no character
  const least = Math.min(...piece.tokens.map((token) => token.chosen.probability));
  const text = piece.text || "end";
  const names = piece.tokens.map((token) => `${visible(token.chosen.token)}, ${percent(token.chosen.probability)}`);
  const option = element("span", { role: "option", "aria-selected": "false", "aria-label": names.join("; ") }, text);
  option.id = `token-${Math.random().toString(36).slice(2)}`;
  option.className = `token ${tint(least)}${piece.text ? "" : " end"}`;
  option.tokens = piece.tokens;
  option.addEventListener("pointerenter", () => show(option));
  option.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  list.append(option);
  return option;
}

function tint(probability) {
  if (probability >= 0.9) return "sure";
  if (probability >= 0.5) return "likely";
  if (probability >= 0.2) return "open";
  return probability >= 0.05 ? "unlikely" : "surprising";
}

export function show(option) {
  hide();
  shown = option;
  option.setAttribute("aria-selected", "true");
  option.parentElement.setAttribute("aria-activedescendant", option.id);
  panel.replaceChildren(...option.tokens.map(tokenTable));
  panel.hidden = false;
  const place = option.getBoundingClientRect();
  const width = panel.offsetWidth;
  const left = Math.max(8, Math.min(place.left, document.documentElement.clientWidth - width - 8));
  const below = place.bottom + 6 + panel.offsetHeight < window.innerHeight || place.top < panel.offsetHeight + 6;
  panel.style.left = `${left + window.scrollX}px`;
  panel.style.top = `${window.scrollY + (below ? place.bottom + 6 : place.top - panel.offsetHeight - 6)}px`;
}

export function hide() {
  if (shown) {
    shown.setAttribute("aria-selected", "false");
    shown.parentElement?.removeAttribute("aria-activedescendant");
  }
  shown = null;
  panel.hidden = true;
}

document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
document.addEventListener("scroll", hide, { passive: true });

function tokenTable({ chosen, alternatives }) {
  const rows = alternatives.map((choice) => choiceRow(choice, choice.token === chosen.token));
  if (!alternatives.some((choice) => choice.token === chosen.token)) rows.push(choiceRow(chosen, true));
  const differs = [chosen, ...alternatives].some((choice) => Math.abs(choice.sampled - choice.probability) > 1e-4);
  const table = element("table", {}, element("tbody", {}, ...rows));
  const head = element("tr", {}, element("th", {}, "token"), element("th", { class: "number" }, "model"));
  if (differs) head.append(element("th", { class: "number" }, "sampled"));
  else rows.forEach((row) => row.lastElementChild.remove());
  table.prepend(element("thead", {}, head));
  return table;
}

function choiceRow(choice, isChosen) {
  const row = element(
    "tr",
    { class: isChosen ? "chosen" : "" },
    element("td", {}, `${isChosen ? "▸ " : ""}${visible(choice.token)}`),
    element("td", { class: "number" }, percent(choice.probability)),
    element("td", { class: "number" }, percent(choice.sampled)),
  );
  return row;
}

// What stands below an answer: its score, and whether it was cut.
export function footOf(answer) {
  const parts = [];
  if (answer.score !== null) {
    const score = `${answer.score < 0 ? "−" : "+"}${Math.abs(answer.score).toFixed(2)}`;
    parts.push("Reward model ", element("strong", { class: answer.score < 0 ? "error" : "good" }, score));
  }
  if (!answer.ended) parts.push(`${parts.length ? " · " : ""}cut off`);
  return parts;
}
