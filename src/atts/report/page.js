"use strict";
// Sorting, filtering and the chain viewer. What models wrote only ever becomes text nodes and elements that are made
// here one by one; nothing is parsed as HTML.

const UNSEEN = "UNSEEN";
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
  for (const match of text.matchAll(UNSEEN)) {
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    target.append(text.slice(from, match.index), make("span", { class: "control" }, `U+${code}`));
    from = match.index + match[0].length;
  }
  target.append(text.slice(from));
}

// A place at or before this one that is not in the middle of a character.
const whole = (text, place) => (/[\udc00-\udfff]/.test(text[place] ?? "") ? place - 1 : place);

// A text's formulas, as it was packed: start, end, whether it is a block, and its place among the drawn ones.
function* formulas(marks) {
  for (let at = 0; at < marks.length; at += 4) {
    yield { start: marks[at], end: marks[at + 1], block: marks[at + 2], place: marks[at + 3] };
  }
}

function drawing([source, tree], block) {
  const drawn = mathematics(tree);
  drawn.setAttribute("alttext", source);
  if (block) {
    drawn.setAttribute("display", "block");
    drawn.setAttribute("tabindex", "0"); // a wide formula scrolls
  }
  return drawn;
}

// A stretch of a text, with its formulas drawn.
function written(target, text, marks, math, start = 0, end = text.length) {
  let from = start;
  for (const formula of formulas(marks)) {
    if (formula.start < from || formula.end > end) continue;
    plain(target, text.slice(from, formula.start));
    target.append(drawing(math[formula.place], formula.block));
    from = formula.end;
  }
  plain(target, text.slice(from, end));
}

// Where a page that begins there ends: at a line's end where there is one near, and never within a formula.
function pageEnd(text, marks, start, last) {
  if (last - start <= PAGE) return last;
  const line = text.lastIndexOf("\n", start + PAGE - 1) + 1;
  const end = line > start + PAGE / 2 ? line : whole(text, start + PAGE);
  for (const formula of formulas(marks)) if (formula.start < end && end < formula.end) return Math.min(last, formula.end);
  return end;
}

// Long texts a page at a time.
function paged(text, marks, math, start = 0, last = text.length) {
  const box = make("div", { class: "text", dir: "auto" });
  while (last > start && text[last - 1] === "\n") last -= 1; // the blank line that ends a step
  let shown = start;
  const more = make("button", { type: "button" });
  const show = () => {
    const end = pageEnd(text, marks, shown, last);
    const page = make("span");
    written(page, text, marks, math, shown, end);
    shown = end;
    more.before(page);
    if (shown < last) {
      more.textContent = `Show more (${(last - shown).toLocaleString("en")} characters left)`;
      return;
    }
    // The button goes; whoever pressed it reads on where the text does.
    if (document.activeElement === more) {
      page.tabIndex = -1;
      page.focus();
    }
    more.remove();
  };
  more.addEventListener("click", show);
  box.append(more);
  show();
  return box;
}

// ---- chains

const number = (value) => (value === null || value === undefined ? "–" : String(value));
const words = { true: "✓ right", false: "✗ wrong", null: "– not graded" };
const classes = { true: "v-right", false: "v-wrong", null: "v-none" };

function texts(piece, math) {
  const [head, tail] = piece.text;
  const [marks, tailMarks] = piece.formulas || [[], []];
  const parts = [];
  const thought = piece.thought || 0;
  if (thought > 0 && thought < head.length) {
    parts.push(make("details", { class: "thinking" }, make("summary", {}, "thinking"), paged(head, marks, math, 0, thought)));
    parts.push(paged(head, marks, math, thought));
  } else {
    parts.push(paged(head, marks, math));
  }
  if (tail !== undefined) {
    parts.push(make("span", { class: "gap" }, `… ${piece.cut.toLocaleString("en")} characters left out …`), paged(tail, tailMarks, math));
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
  if (turn.taken === undefined) {
    box.append(make("p", {}, "no decision"));
    return extras(box, turn);
  }
  // A method with one model has no target that could take over.
  const rejected = turn.pieces.some((piece) => piece.by === "target") ? "target takes over" : "rejected";
  const verdict = (turn.taken ? rejected : "accepted") + (turn.capped ? " (capped by the budget)" : "");
  box.append(make("p", { class: turn.taken ? "taken" : "accepted" }, verdict));
  if (turn.threshold !== undefined) {
    // What the p-value asked for, which a budget may have refused.
    const sign = turn.p === null ? "against" : turn.taken || turn.capped ? "≤" : ">";
    box.append(make("p", {}, `score ${number(turn.score)}`), make("p", {}, `p ${number(turn.p)} ${sign} threshold ${number(turn.threshold)}`));
  }
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
  const thinking = (turn) => {
    const kept = turn.pieces.filter((piece) => !piece.dropped);
    return kept.length > 0 && kept.every((piece) =>
      (piece.thought || 0) >= piece.text.reduce((sum, text) => sum + text.length, piece.cut || 0));
  };
  const views = [];
  for (let at = 0; at < turns.length; at += 1) {
    let end = at;
    while (end < turns.length && thinking(turns[end])) end += 1;
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
  const takeovers = chain.turns.filter((turn) => turn.taken).length;
  const answer = make("bdi");
  plain(answer, chain.answer === null ? "no answer" : chain.answer.slice(0, whole(chain.answer, 200)));
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
    if (chain.unused) {
      const turns = chain.unused === 1 ? "1 further turn" : `${chain.unused.toLocaleString("en")} further turns`;
      box.append(make("p", { class: "notices" }, `${turns} of this chain could not be used: one before is missing in the journal.`));
    }
    if (!chain.turns.length) box.append(make("p", {}, "no turns"));
  }, { once: true });
  return box;
}

// What a narrow screen has no columns for.
function figures(button) {
  const heads = button.closest("table").tHead.rows[0].cells;
  const cells = button.closest("tr").cells;
  const shown = [...cells].map((cell, place) => `${heads[place].textContent.trim()} ${cell.textContent.trim()}`);
  return make("p", { class: "narrow" }, shown.slice(4).join(" · "));
}

async function viewer(button) {
  const cell = make("td", { colspan: "9" });
  const row = make("tr", { class: "viewer" }, cell);
  button.closest("tbody").append(row);
  try {
    const content = await unpack(button.dataset.block);
    const math = content.math;
    const question = make("div", { class: "statement", dir: "auto" });
    written(question, content.question, content.formulas, math);
    const answer = make("bdi");
    plain(answer, content.answer);
    cell.append(question, make("p", {}, "Known answer: ", answer), figures(button), ...content.chains.map((chain) => chainView(chain, math)));
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
