// Tables from rows of texts and numbers.

import { element } from "./site.js";

// head: the names of the columns. rows: lists of texts, numbers and elements; the first names its row.
export function makeTable(head, rows, caption = "") {
  const columns = head.map((text, at) =>
    text ? element("th", { scope: "col", class: at ? "number" : "" }, text) : element("td"),
  );
  const body = rows.map((row) => element("tr", {}, ...row.map(makeCell)));
  const made = element("table", {}, element("thead", {}, element("tr", {}, ...columns)), element("tbody", {}, ...body));
  if (caption) made.prepend(element("caption", {}, caption));
  return made;
}

function makeCell(value, at) {
  const name = at ? "td" : "th";
  return element(name, at ? { class: "number" } : { scope: "row" }, value instanceof Node ? value : `${value}`);
}
