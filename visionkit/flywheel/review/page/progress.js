// The sheet that says how far the review has come.

import { thumbnailUrl } from "./api.js";
import { byId, counted, make } from "./build.js";

const ITEMS = 12;

// look(id): opens a picture.
export function drawProgress(facts, look) {
  byId("progress-body").replaceChildren(
    figures(facts),
    make("div", { class: "columns" },
      make("div", {}, ...items(facts), ...people(facts), ...differing(facts, look)),
      make("div", {}, ...changes(facts, look))),
  );
}

function figures(facts) {
  const share = facts.agreement.share;
  const judged = facts.agreement.pictures;
  const answers = facts.people.reduce((sum, person) => sum + person.pictures, 0);
  return make("dl", { class: "figures" },
    figure("Open", facts.left.toLocaleString("en"), `of ${counted(facts.asked, "picture")} asked`),
    figure("Answered", facts.answered.toLocaleString("en"), answers ? `model taken as it was: ${percent(facts.untouched / answers)}` : "none yet"),
    figure("Agreement", share === null ? "–" : percent(share), judged ? `of ${counted(judged, "picture")} judged by two` : "no picture judged by two yet"),
    figure("Since the last version", facts.unmerged.toLocaleString("en"), facts.unmerged ? "changed; visionkit merge keeps them" : "nothing changed"),
  );
}

function figure(name, value, words) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, words)));
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

function items(facts) {
  if (!facts.changed_items.length) return [];
  const rows = facts.changed_items.slice(0, ITEMS).map((row) => [row.item, String(row.kept), signed(row.added, "+"), signed(row.removed, "−")]);
  return [make("h3", {}, "What people changed, by item"), table(["Item", "As said", "Added", "Removed"], rows)];
}

function signed(number, sign) {
  return number ? make("span", { class: sign === "+" ? "plus" : "minus" }, `${sign}${number}`) : "0";
}

function people(facts) {
  if (!facts.people.length) return [];
  const rows = facts.people.map((person) => [person.name, person.pictures.toLocaleString("en"), person.seconds === null ? "–" : `${person.seconds.toFixed(1)} s`]);
  return [make("h3", {}, "Who answered"), table(["Person", "Pictures", "Each, median"], rows)];
}

function table(head, rows) {
  return make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((words) => make("th", { scope: "col" }, words)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))))));
}

function differing(facts, look) {
  if (!facts.agreement.differing.length) return [];
  const rows = facts.agreement.differing.map((id) => entry(id, "Two people say different things", "", look));
  return [make("h3", {}, "To be settled"), make("ul", { class: "feed" }, ...rows)];
}

function changes(facts, look) {
  if (!facts.changes.length) return [make("h3", {}, "Last answers"), make("p", { class: "soft" }, "None yet.")];
  const rows = facts.changes.map((change) => entry(change.sample_id, change.words, `${change.reviewer}, ${when(change.created)}`, look));
  return [make("h3", {}, "What the last answers changed"), make("ul", { class: "feed" }, ...rows)];
}

function entry(id, words, by, look) {
  return make("li", {},
    make("img", { src: thumbnailUrl(id), alt: "", loading: "lazy" }),
    make("div", {}, make("p", {}, words), make("small", {}, by)),
    make("button", { type: "button", class: "plain", on: { click: () => look(id) } }, "Open"));
}

function when(created) {
  const seconds = (Date.now() - Date.parse(created)) / 1000;
  if (!(seconds >= 0)) return "just now";
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(created).toLocaleDateString("en");
}
