// The column beside the picture: why it is asked, and what is said to be in it.

import { byId, make, sentence } from "./build.js";

const REASONS_SHOWN = 4;
const QUICK = 9;

export class Panel {
  // toggle(key), choose(key), rename(key), remove(key), become(key, label), quick(label)
  constructor(acts, tone) {
    this.acts = acts;
    this.tone = tone;
    this.items = [];
  }

  show(draft) {
    const { card } = draft;
    const reasons = card.reasons.slice(0, REASONS_SHOWN).map((reason) => make("li", {}, sentence(reason.words)));
    byId("reasons").replaceChildren(...reasons);
    const parts = [card.name, `${card.width} × ${card.height}`];
    if (card.seconds !== null) parts.push(`at ${clock(card.seconds)}`);
    if (card.model) parts.push(card.model);
    byId("about").textContent = parts.join(" · ");
    this.draw(draft);
  }

  draw(draft) {
    const rows = draft.entries.map((entry) => this.row(entry, entry.key === draft.chosen));
    byId("claims").replaceChildren(...(rows.length ? rows : [make("li", { class: "nothing" }, "Nothing is said to be here.")]));
    const row = byId("claims").querySelector(".chosen");
    if (row) bringIntoSight(row, row.closest(".panel"));
  }

  row(entry, chosen) {
    const { toggle, choose, rename, remove } = this.acts;
    const still = (act) => (event) => {
      event.stopPropagation();
      letGo(event);
      act(entry.key);
    };
    const classes = ["claim", `c${this.tone(entry.label)}`, chosen ? "chosen" : "", entry.there ? "" : "offered"];
    return make(
      "li",
      { class: classes.filter(Boolean).join(" "), on: { click: () => choose(entry.key) } },
      make("input", { type: "checkbox", checked: entry.there, ariaLabel: `${entry.label} is there`, on: { click: still(toggle) } }),
      make("button", { type: "button", class: "name", title: "Rename (L)", on: { click: still(rename) } }, entry.label),
      entry.there
        ? make("button", { type: "button", class: "plain drop", title: "Not there (Del)", ariaLabel: `Remove ${entry.label}`, on: { click: still(remove) } }, "✕")
        : null,
      this.detail(entry),
    );
  }

  detail(entry) {
    const parts = [];
    if (entry.score !== null) {
      const meter = make("span", { class: "meter", role: "img", ariaLabel: `score ${entry.score.toFixed(2)}, threshold ${entry.threshold.toFixed(2)}` }, make("i"), make("b"));
      meter.firstChild.style.width = `${entry.score * 100}%`;
      meter.lastChild.style.left = `${entry.threshold * 100}%`;
      parts.push(meter, make("span", {}, entry.score.toFixed(2)));
    }
    if (!entry.there) parts.push(make("span", {}, entry.score !== null && entry.score < entry.threshold ? "below its threshold" : "not there"));
    else if (!entry.proposal) parts.push(make("span", {}, whose(entry.source)));
    if (!entry.box) parts.push(make("span", {}, "whole picture"));
    if (entry.inliers > 0) parts.push(make("span", {}, `${entry.inliers} points agree`));
    if (entry.runner_up && entry.runner_up !== entry.label) {
      const words = `or ${entry.runner_up} ${entry.runner_up_score.toFixed(2)}`;
      const become = (event) => {
        event.stopPropagation();
        this.acts.become(entry.key, entry.runner_up);
      };
      parts.push(make("button", { type: "button", class: "other", on: { click: become } }, words));
    }
    return make("div", { class: "detail" }, ...parts);
  }

  showItems(items) {
    // Keys stay with their items while the page is open, whatever becomes most frequent.
    this.items = [...this.items, ...items.filter((item) => !this.items.includes(item))].slice(0, QUICK);
    const quick = (item) => (event) => {
      letGo(event);
      this.acts.quick(item);
    };
    const chips = this.items.map((item, place) =>
      make("button", { type: "button", class: "chip", on: { click: quick(item) } }, make("kbd", {}, String(place + 1)), item),
    );
    byId("quick").replaceChildren(...chips);
    byId("quick").parentElement.hidden = chips.length === 0;
  }
}

// After a press by pointer the keys go to the page again; who came by keys keeps the focus. Before
// the act: a sheet that it opens gives the focus back to where it was.
export function letGo(event) {
  if (event.detail) event.currentTarget.blur();
}

// Scrolls the panel alone: where it is not one that scrolls, but lies below the picture, the picture
// stays in sight.
function bringIntoSight(row, panel) {
  const [place, frame] = [row.getBoundingClientRect(), panel.getBoundingClientRect()];
  if (place.top < frame.top) panel.scrollTop -= frame.top - place.top;
  else if (place.bottom > frame.bottom) panel.scrollTop += place.bottom - frame.bottom;
}

function whose(source) {
  if (source === "you") return "by you";
  if (source === "human") return "in the data";
  return source.startsWith("human:") ? `by ${source.slice(6)}` : `by ${source}`;
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
