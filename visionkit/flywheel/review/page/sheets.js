// What opens above the page: keys, filters, the name of an item, who reviews.

import { byId, counted, make } from "./build.js";

const SHOWN = 50; // names at most in the list of the naming sheet

const KEYS = {
  "Answer": [
    [["Enter", "A"], "Accept what is shown"],
    [["X"], "None of it is there"],
    [["U"], "Can’t tell"],
    [["S"], "Later"],
    [["Z"], "Undo the last step or answer"],
  ],
  "Boxes": [
    [["J", "K"], "Next or previous"],
    [["T"], "There, or not"],
    [["1", "…", "9"], "Rename to an item"],
    [["L"], "Rename, or name a new item"],
    [["D"], "Draw a box"],
    [["W"], "Name the whole picture"],
    [["← ↑ → ↓"], "Move it; with Shift ten times as far"],
    [["Alt ← ↑ → ↓"], "Resize it"],
    [["Del"], "Remove it"],
    [["+", "−"], "Larger, smaller"],
    [["Esc"], "Choose none"],
  ],
  "Grid": [
    [["G"], "Grid, or one by one"],
    [["← ↑ → ↓"], "From crop to crop"],
    [["Space"], "It is not, or it is"],
    [["I"], "Flip all"],
    [["Enter"], "Answer all"],
  ],
  "Page": [
    [["F"], "Filter"],
    [["P"], "Progress"],
    [["?"], "This sheet"],
  ],
};

export function fillHelp() {
  const sections = Object.entries(KEYS).map(([title, rows]) =>
    make("section", {}, make("h3", {}, title), make("dl", {}, ...rows.flatMap(([keys, words]) => [
      make("dt", {}, ...keys.map((key) => make("kbd", {}, key))),
      make("dd", {}, words),
    ]))),
  );
  byId("help-body").replaceChildren(...sections);
}

export function openSheet(id) {
  const sheet = byId(id);
  if (!sheet.open) sheet.showModal();
  sheet.focus(); // the sheet itself: no button looks chosen, and the arrows scroll
  return sheet;
}

export function prepareSheets() {
  fillHelp();
  for (const sheet of document.querySelectorAll("dialog")) {
    sheet.addEventListener("click", (event) => {
      if (event.target === sheet) sheet.close();
    });
  }
}

// Asks for the name of an item; resolves to "" where none was given. Enter alone gives `current`.
export function askName(title, labels, current = "") {
  const sheet = byId("naming");
  const [text, list] = [byId("naming-text"), byId("naming-list")];
  byId("naming-title").textContent = title;
  text.value = "";
  text.placeholder = current;
  let place = 0;
  let names = [];
  return new Promise((resolve) => {
    const finish = (name) => {
      resolve(name); // before the sheet is gone: the next key may come at once
      text.blur(); // a closed sheet may keep the focus for a moment, and the next key with it
      sheet.close();
    };
    const draw = () => {
      const typed = text.value.trim();
      names = typed ? likeNames(labels, typed) : [...new Set([current, ...labels])].filter(Boolean).slice(0, SHOWN);
      place = Math.min(place, Math.max(names.length - 1, 0));
      list.replaceChildren(...names.map((name, number) => make("li", {
        role: "option",
        ariaSelected: String(number === place),
        class: labels.includes(name) || name === current ? "" : "new",
        on: { click: () => finish(name) },
      }, name)));
      list.children[place]?.scrollIntoView({ block: "nearest" });
    };
    text.oninput = () => {
      place = 0;
      draw();
    };
    text.onkeydown = (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        place = (place + (event.key === "ArrowDown" ? 1 : names.length - 1)) % Math.max(names.length, 1);
        draw();
      } else if (event.key === "Enter") {
        event.preventDefault();
        finish(names[place] ?? "");
      } else if (event.key === "Escape") {
        event.preventDefault();
        finish(""); // at once: a sheet that the browser closes tells so only later
      } else if (event.repeat && event.key.length === 1 && !text.value) {
        event.preventDefault(); // the key that opened the sheet is still held: it begins no name
      }
    };
    // The closing of the sheet before is told late, when this one may be open already.
    sheet.onclose = () => {
      if (!sheet.open) resolve("");
    };
    draw();
    sheet.showModal();
    text.focus();
  });
}

// The typed name as one that is new, and the known ones that it is part of. It comes first, so that
// Enter gives what was typed: but capitals alone make no new name, nor does a word that breaks off.
function likeNames(labels, typed) {
  const found = labels.filter((label) => label.toLowerCase().includes(typed.toLowerCase()));
  found.sort((one, other) => rank(one, typed) - rank(other, typed));
  const names = found.slice(0, SHOWN);
  if (labels.includes(typed)) return names;
  const meant = names.length && (rank(names[0], typed) === 1 || breaksOff(names[0], typed));
  return meant ? [...names, typed] : [typed, ...names];
}

// Whether a typed name is the beginning of a known one and ends within a word of it.
function breaksOff(label, typed) {
  return rank(label, typed) === 2 && /^[\p{L}\p{N}]/u.test(label.slice(typed.length));
}

function rank(label, typed) {
  if (label === typed) return 0;
  const [name, start] = [label.toLowerCase(), typed.toLowerCase()];
  if (name === start) return 1;
  return name.startsWith(start) ? 2 : 3;
}

export function askPerson(current) {
  const sheet = openSheet("person-sheet");
  const text = byId("person-text");
  text.value = current;
  text.select();
  return new Promise((resolve) => {
    sheet.addEventListener("close", () => resolve(text.value.trim() || current), { once: true });
  });
}

// Filters: fields that hold what is wanted; changed(wanted) after each change.
export class Filters {
  constructor(changed) {
    this.changed = changed;
    this.wanted = {};
    for (const name of ["item", "reason", "model", "version"]) byId(`f-${name}`).addEventListener("change", () => this.read());
    for (const name of ["least", "most"]) byId(`f-${name}`).addEventListener("change", () => this.read());
    byId("f-clear").addEventListener("click", () => this.set({}));
  }

  fill(facts) {
    this.options("item", "Any item", facts.items);
    this.options("reason", "Any reason", facts.reasons, REASONS);
    this.options("model", "Any model", facts.models);
    const versions = Object.fromEntries(facts.versions.map((version) => [version.name, version.corrections]));
    this.options("version", "The queue as it is", versions, {}, "changed in ");
  }

  options(name, any, counts, words = {}, before = "") {
    const select = byId(`f-${name}`);
    const chosen = this.wanted[name] || "";
    const names = Object.keys(counts);
    if (chosen && !names.includes(chosen)) names.push(chosen);
    select.replaceChildren(
      make("option", { value: "" }, any),
      ...names.map((each) => make("option", { value: each }, `${before}${words[each] || each} (${(counts[each] || 0).toLocaleString("en")})`)),
    );
    select.value = chosen;
  }

  read() {
    const wanted = {};
    for (const name of ["item", "reason", "model", "version"]) if (byId(`f-${name}`).value) wanted[name] = byId(`f-${name}`).value;
    const [least, most] = ["least", "most"].map((name) => byId(`f-${name}`).value);
    if (least !== "") wanted.least = bounded(least);
    if (most !== "") wanted.most = bounded(most);
    this.set(wanted);
  }

  set(wanted) {
    this.wanted = wanted;
    this.draw();
    byId("f-left").textContent = ""; // until it is known how many fit
    this.changed(wanted);
  }

  draw() {
    for (const name of ["item", "reason", "model", "version"]) byId(`f-${name}`).value = this.wanted[name] || "";
    for (const name of ["least", "most"]) byId(`f-${name}`).value = this.wanted[name] ?? "";
    const { item, reason, model, version, least, most } = this.wanted;
    const score = least !== undefined || most !== undefined ? `score ${least ?? 0}–${most ?? 1}` : "";
    const words = [item, reason && (REASONS[reason] || reason), model, version && `changed in ${version}`, score].filter(Boolean).join(", ");
    byId("filter-words").textContent = words || "All pictures";
    byId("open-filters").classList.toggle("on", Boolean(words));
  }

  showLeft(left) {
    byId("f-left").textContent = counted(left, "picture");
  }
}

const REASONS = {
  margin: "Near its threshold",
  entropy: "Several classes likely",
  heads: "Heads disagree",
  frames: "Frames disagree",
  geometry: "Look and geometry disagree",
  coverage: "Unlike the rest",
  label: "Label may be wrong",
  drift: "Drift",
  audit: "Audit",
};

function bounded(text) {
  return Math.min(Math.max(Number(text) || 0, 0), 1);
}
