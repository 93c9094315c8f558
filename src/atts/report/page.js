"use strict";
// Sorting, filtering and the chain viewer. What models wrote only ever becomes text nodes and elements that are made
// here one by one; nothing is parsed as HTML.

const FORMULA = "FORMULA";
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const MATHML = "http://www.w3.org/1998/Math/MathML";
const PAGE = 6000; // characters of a piece that are shown at once

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// ---- sorting and filtering

function sortBy(button) {
  const head = button.closest("th");
  const table = button.closest("table");
  const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const column = Number(button.dataset.column);
  const value = (body) => body.rows[0].cells[column].dataset.value;
  const compare = button.dataset.kind === "number"
    ? (a, b) => Number(value(a)) - Number(value(b))
    : (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
  table.append(...[...table.tBodies].sort((a, b) => sign * compare(a, b)));
}

function filter(form) {
  const table = document.getElementById(form.dataset.table);
  const kind = form.elements.kind.value;
  const text = form.elements.text.value.trim().toLowerCase();
  let shown = 0;
  for (const body of table.tBodies) {
    const fits = (!kind || body.dataset.kinds.split(" ").includes(kind))
      && (!text || body.rows[0].textContent.toLowerCase().includes(text));
    body.hidden = !fits;
    shown += fits;
  }
  form.querySelector("output").textContent = `${shown} of ${table.tBodies.length} problems`;
}

// ---- texts

async function unpack(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return JSON.parse(await new Response(stream).text());
}

function mathematics(tree) {
  const [name, attributes, ...children] = tree;
  const element = document.createElementNS(MATHML, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const child of children) element.append(typeof child === "string" ? child : mathematics(child));
  return element;
}

function plain(target, text) {
  let from = 0;
  for (const match of text.matchAll(CONTROL)) {
    const code = match[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    target.append(text.slice(from, match.index), make("span", { class: "control" }, `U+${code}`));
    from = match.index + 1;
  }
  target.append(text.slice(from));
}

function written(target, text, math) {
  let from = 0;
  for (const match of math ? text.matchAll(FORMULA) : []) {
    const source = match.slice(1).find((group) => group !== undefined).trim();
    if (!Object.hasOwn(math, source)) continue;
    plain(target, text.slice(from, match.index));
    const drawn = mathematics(math[source]);
    drawn.setAttribute("alttext", source);
    if (match[1] !== undefined || match[2] !== undefined) {
      drawn.setAttribute("display", "block");
      drawn.setAttribute("tabindex", "0"); // a wide formula scrolls
    }
    target.append(drawn);
    from = match.index + match[0].length;
  }
  plain(target, text.slice(from));
}

// Long texts a page at a time; a page ends at a line's end where there is one near.
function paged(text, math) {
  const box = make("div", { class: "text", dir: "auto" });
  text = text.replace(/\n+$/, ""); // the blank line that ends a step
  let shown = 0;
  const more = make("button", { type: "button" });
  const show = () => {
    let end = Math.min(text.length, shown + PAGE);
    const line = text.lastIndexOf("\n", end);
    if (end < text.length && line > shown + PAGE / 2) end = line + 1;
    more.remove();
    written(box, text.slice(shown, end), math);
    shown = end;
    if (shown < text.length) {
      more.textContent = `Show more (${(text.length - shown).toLocaleString("en")} characters left)`;
      box.append(more);
    }
  };
  more.addEventListener("click", show);
  show();
  return box;
}

// ---- chains

const number = (value) => (value === null || value === undefined ? "–" : String(value));
const words = { true: "✓ right", false: "✗ wrong", null: "– not graded" };
const classes = { true: "v-right", false: "v-wrong", null: "v-none" };

function texts(piece, math) {
  const [head, tail] = piece.text;
  const parts = [];
  const thought = piece.thought || 0;
  if (thought > 0 && thought < head.length) {
    parts.push(make("details", { class: "thinking" }, make("summary", {}, "thinking"), paged(head.slice(0, thought), math)));
    parts.push(paged(head.slice(thought), math));
  } else {
    parts.push(paged(head, math));
  }
  if (tail !== undefined) {
    parts.push(make("span", { class: "gap" }, `… ${piece.cut.toLocaleString("en")} characters left out …`), paged(tail, math));
  }
  return parts;
}

function pieceView(piece, math) {
  const [waited, took] = piece.time;
  const ends = { end: "ended its text", stop: "stopped", length: "at its limit" };
  const about = `${piece.by}, ${piece.tokens} tokens, ${ends[piece.finish] || piece.finish}, ${number(took)} s`
    + (waited > 0.01 ? ` (waited ${waited} s)` : "");
  const box = make("div", { class: `piece ${piece.by}` }, make("div", { class: "author" }, about));
  if (!piece.dropped) {
    box.append(...texts(piece, math));
    return box;
  }
  box.classList.add("dropped");
  box.append(make("details", {}, make("summary", {}, "rejected, not in the chain"), ...texts(piece, math)));
  return box;
}

function facts(turn) {
  const box = make("div", { class: "facts" }, make("h4", {}, `turn ${turn.n}`));
  if (turn.threshold === undefined) {
    box.append(make("p", {}, "no decision"));
    return extras(box, turn);
  }
  const taken = turn.rejected;
  const verdict = (taken ? "target takes over" : "accepted") + (turn.capped ? " (capped by the budget)" : "");
  box.append(
    make("p", { class: taken ? "taken" : "accepted" }, verdict),
    make("p", {}, `score ${number(turn.score)}`),
    make("p", {}, `p ${number(turn.p)} ${taken && !turn.capped ? "≤" : turn.p === null ? "against" : turn.p > turn.threshold ? ">" : "≤"} threshold ${number(turn.threshold)}`),
  );
  if (turn.scoring) box.append(make("p", {}, `scored in ${number(turn.scoring[1])} s`));
  return extras(box, turn);
}

// What methods other than ATTS say of a turn.
function extras(box, turn) {
  if (turn.anew) box.append(make("p", {}, "the chain begins anew here"));
  for (const [name, value] of Object.entries(turn.notes || {})) box.append(make("p", {}, `${name} ${number(value)}`));
  if (turn.ended) box.append(make("p", {}, `ended the chain: ${turn.ended}`));
  return box;
}

function turnView(turn, math) {
  const pieces = turn.pieces.map((piece) => pieceView(piece, math));
  return make("div", { class: "turn" }, facts(turn), make("div", {}, ...pieces));
}

// Turns that are thinking from end to end stand in one fold.
function turnsView(turns, math) {
  const whole = (turn) => {
    const kept = turn.pieces.filter((piece) => !piece.dropped);
    return kept.length > 0 && kept.every((piece) =>
      (piece.thought || 0) >= piece.text.reduce((sum, text) => sum + text.length, piece.cut || 0));
  };
  const views = [];
  for (let at = 0; at < turns.length; at += 1) {
    let end = at;
    while (end < turns.length && whole(turns[end])) end += 1;
    if (end === at) {
      views.push(turnView(turns[at], math));
      continue;
    }
    const inside = turns.slice(at, end);
    const tokens = inside.flatMap((turn) => turn.pieces).filter((piece) => !piece.dropped)
      .reduce((sum, piece) => sum + piece.tokens, 0);
    const fold = make("details", { class: "thinking" },
      make("summary", {}, `thinking: ${inside.length} turns, ${tokens.toLocaleString("en")} tokens`));
    fold.addEventListener("toggle", () => fold.append(...inside.map((turn) => turnView(turn, math))), { once: true });
    views.push(fold);
    at = end - 1;
  }
  return views;
}

function chainView(chain, math) {
  const takeovers = chain.turns.filter((turn) => turn.rejected).length;
  const answer = make("bdi");
  plain(answer, chain.answer === null ? "no answer" : chain.answer.slice(0, 200));
  const status = chain.status === "done" ? "" : `${chain.status}, `;
  const summary = make("summary", {},
    `sample ${chain.sample} · `, make("span", { class: `verdict ${classes[chain.verdict]}` }, words[chain.verdict]), " · ",
    answer, ` · ${status}${chain.turns.length} turns, ${takeovers} taken over`, chain.seconds === null ? "" : `, ${chain.seconds} s`);
  const box = make("details", { class: "chain" }, summary);
  box.addEventListener("toggle", () => {
    if (chain.reason && chain.status !== "done") {
      const reason = make("p", { class: "notices" });
      plain(reason, chain.reason.slice(0, 2000));
      box.append(reason);
    }
    box.append(...turnsView(chain.turns, math));
    if (!chain.turns.length) box.append(make("p", {}, "no turns"));
  }, { once: true });
  return box;
}

async function viewer(button) {
  const cell = make("td", { colspan: "9" });
  const row = make("tr", { class: "viewer" }, cell);
  button.closest("tbody").append(row);
  try {
    const content = await unpack(button.dataset.block);
    const math = content.math || {};
    const question = make("div", { class: "statement", dir: "auto" });
    written(question, content.question, math);
    const answer = make("bdi");
    plain(answer, content.answer);
    cell.append(question, make("p", {}, "Known answer: ", answer), ...content.chains.map((chain) => chainView(chain, math)));
    if (!content.chains.length) cell.append(make("p", {}, "No chain of this problem has begun."));
  } catch (error) {
    cell.append(`The chains cannot be shown: ${error.message}`);
  }
  return row;
}

async function open(button) {
  const shown = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!shown));
  const row = button.closest("tbody").querySelector(".viewer");
  if (row) row.hidden = shown;
  else if (!shown) await viewer(button);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.column !== undefined) sortBy(button);
  else if (button?.dataset.block !== undefined) open(button);
});
for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("input", () => filter(form));
  form.addEventListener("submit", (event) => event.preventDefault());
}
