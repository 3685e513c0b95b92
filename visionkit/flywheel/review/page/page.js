// The page: what a person does, from the first picture to the last.

import { card as fetchCard, giveBack, makeId, overview } from "./api.js";
import { byId, toast } from "./build.js";
import { Draft } from "./draft.js";
import { Grid } from "./grid.js";
import { History } from "./history.js";
import { listen } from "./keys.js";
import { Leases } from "./leases.js";
import { Outbox } from "./outbox.js";
import { Panel, letGo } from "./panel.js";
import { drawProgress } from "./progress.js";
import { Filters, askName, askPerson, openSheet, prepareSheets } from "./sheets.js";
import { Stage } from "./stage.js";
import { drawEmpty, drawLink } from "./state.js";
import { EMPTY_EVERY, Supply } from "./supply.js";
import { told, undo } from "./undo.js";

const FACTS_EVERY = 20000;

class Review {
  constructor() {
    this.mode = "single";
    this.reviewer = localStorage.getItem("visionkit.reviewer") || "";
    this.facts = null;
    this.draft = null;
    this.history = new History();
    this.done = 0;
    const tone = (label) => this.tone(label);
    const wishes = () => ({ reviewer: this.reviewer, wanted: this.filters.wanted, catalog: this.facts?.catalog ?? "" });
    const holding = () => this.holding();
    this.outbox = new Outbox({ told: (entry, result) => told(this, entry, result), changed: () => this.drawLink(), moved: () => this.readFacts() });
    this.filters = new Filters(() => this.startOver());
    this.supply = new Supply({ wishes, holding, changed: (error) => this.supplied(error) });
    this.grid = new Grid({
      wishes,
      holding,
      answer: (pairs, grid) => this.answerMany(pairs, grid),
      release: () => this.supply.release(),
      problem: (error) => this.problem(error),
    });
    const seconds = () => this.facts?.lease_seconds ?? 180;
    this.leases = new Leases({ wishes, holding, seconds, left: (left) => this.tellLeft(left) });
    this.stage = new Stage(byId("stage"), {
      tone,
      drawn: (box) => this.drawn(box),
      moved: (key, box) => this.edit(() => this.draft.move(key, box)),
      chosen: (key) => this.chosen(key),
    });
    this.panel = new Panel({
      toggle: (key) => this.edit(() => this.draft.toggle(key)),
      choose: (key) => this.chosen(key),
      rename: (key) => this.rename(key),
      remove: (key) => this.edit(() => this.draft.remove(key)),
      become: (key, label) => this.edit(() => this.draft.relabel(key, label)),
      quick: (label) => this.become(label),
    }, tone);
  }

  async start() {
    prepareSheets();
    this.bind();
    listen(this);
    await this.readFacts();
    if (!this.reviewer) this.setReviewer(this.facts?.reviewer || "reviewer");
    byId("person").textContent = this.reviewer;
    await this.supply.fill();
    if (!this.draft) this.next();
    this.leases.start();
    setInterval(() => this.readFacts(), FACTS_EVERY);
    window.addEventListener("focus", () => this.readFacts());
    window.addEventListener("pagehide", () => giveBack(this.reviewer, this.outbox.pictures));
  }

  bind() {
    const clicks = {
      accept: () => this.answer("accept"),
      reject: () => this.answer("reject"),
      unsure: () => this.answer("unsure"),
      skip: () => this.skip(),
      undo: () => this.undo(),
      draw: () => this.drawBox(),
      whole: () => this.nameWhole(),
      "to-single": () => this.setMode("single"),
      "to-grid": () => this.setMode("grid"),
      "grid-accept": () => this.grid.submit(),
      "grid-flip": () => this.grid.flip(),
      "grid-skip": () => this.grid.skip(),
      "grid-undo": () => this.undo(),
      "grid-item": () => this.pickItem(),
      "open-filters": () => this.openFilters(),
      "open-progress": () => this.openProgress(),
      "open-help": () => this.openHelp(),
      "open-person": () => this.changePerson(),
      theme: () => this.changeTheme(),
    };
    for (const [id, act] of Object.entries(clicks)) {
      byId(id).addEventListener("click", (event) => {
        letGo(event);
        act();
      });
    }
  }

  // Pictures

  next() {
    const card = this.supply.next();
    if (card) {
      this.show(card, this.supply.draftOf(card));
    } else {
      this.draft = null;
      this.stage.clear();
      this.drawEmpty();
      this.drawButtons();
    }
  }

  show(card, draft = new Draft(card)) {
    this.draft = draft;
    byId("empty").hidden = true;
    this.stage.show(card, this.supply.image(card.id));
    this.panel.show(draft);
    this.redraw();
    this.started = performance.now();
    document.documentElement.dataset.shown = card.id;
  }

  supplied(error) {
    if (error) this.supply.again();
    else this.tellLeft(this.supply.left);
    if (!this.draft && this.supply.all.length) this.next();
    else if (!this.draft) this.drawEmpty();
    if (error) this.problem(error);
    else if (!this.draft) this.supply.again(EMPTY_EVERY);
  }

  get filtered() {
    return byId("open-filters").classList.contains("on");
  }

  drawEmpty() {
    drawEmpty(this.supply, this.filtered, () => this.filters.set({}));
  }

  // Ids of the pictures that lie here, which nobody else shall be given.
  holding() {
    const cards = [...(this.draft ? [this.draft.card] : []), ...this.grid.cards, ...this.supply.all];
    return [...new Set([...this.outbox.pictures, ...cards.map((card) => card.id)])];
  }

  startOver() {
    if (this.draft) this.supply.keep(this.draft);
    this.supply.reset();
    this.draft = null;
    this.stage.clear();
    if (this.mode === "grid") this.grid.open(this.filters.wanted.item || this.grid.item);
    this.supply.fill();
    this.drawEmpty();
    this.drawButtons();
  }

  // Changing what is said of a picture

  edit(change) {
    if (!this.draft) return;
    change();
    this.redraw();
  }

  redraw() {
    this.stage.draw(this.draft);
    this.panel.draw(this.draft);
    this.drawButtons();
  }

  chosen(key) {
    if (!this.draft || this.draft.chosen === key) return;
    this.stage.sync();
    this.draft.chosen = key && this.draft.find(key) ? key : null;
    this.redraw();
  }

  choose(direction) {
    if (!this.draft) return;
    this.stage.sync();
    if (direction) this.draft.choose(direction);
    else this.draft.chosen = null;
    this.redraw();
  }

  toggle() {
    const entry = this.draft?.target;
    if (entry) this.edit(() => this.draft.toggle(entry.key));
  }

  remove() {
    const entry = this.draft?.target;
    if (entry) this.edit(() => this.draft.remove(entry.key));
  }

  quick(place) {
    const label = this.panel.items[place];
    if (label) this.become(label);
  }

  // Renames what is chosen to `label`; with nothing there, or classes that shut each other out, it
  // names the whole picture.
  become(label) {
    if (!this.draft) return;
    const entry = this.draft.target;
    if (this.draft.onlyClasses) this.edit(() => this.draft.name(label));
    else if (entry) this.edit(() => this.draft.relabel(entry.key, label));
    else toast("Choose a box first: J, K or a click.");
  }

  async rename(key = this.draft?.target?.key) {
    const draft = this.draft;
    if (!draft?.entries.length) return;
    if (!key) {
      toast("Choose a box first: J, K or a click.");
      return;
    }
    const label = await askName("What is it?", this.labels, draft.find(key).label);
    if (label && this.draft === draft) this.edit(() => draft.relabel(key, label));
  }

  async nameWhole() {
    const draft = this.draft;
    if (!draft) return;
    const label = await askName("What does the picture show?", this.labels);
    if (label && this.draft === draft) this.edit(() => draft.name(label));
  }

  async drawn(box) {
    const draft = this.draft;
    if (!draft) return;
    this.edit(() => draft.add(this.lastLabel(), box));
    const key = draft.chosen;
    const label = await askName("What is it?", this.labels, draft.find(key).label);
    if (this.draft !== draft || !draft.find(key)) return;
    if (label) draft.change(key, { label });
    else draft.undo(); // a box that nobody named was not meant
    this.redraw();
  }

  // A box in the middle, for the keyboard: arrows move it.
  drawBox() {
    if (!this.draft) return;
    const { width, height } = this.draft.card;
    const [across, down] = [width / 8, height / 8];
    this.drawn([width / 2 - across, height / 2 - down, width / 2 + across, height / 2 + down]);
  }

  lastLabel() {
    return this.usedLabel || this.filters.wanted.item || this.draft.entries[0]?.label || this.labels[0] || "item";
  }

  nudge(x, y) {
    const { key, box } = this.draft.current;
    const { width, height } = this.draft.card;
    const [dx, dy] = [Math.min(Math.max(x, -box[0]), width - box[2]), Math.min(Math.max(y, -box[1]), height - box[3])];
    this.edit(() => this.draft.move(key, [box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy]));
  }

  resize(x, y) {
    const { key, box } = this.draft.current;
    this.edit(() => this.draft.move(key, [box[0], box[1], Math.max(box[2] + x, box[0] + 2), Math.max(box[3] + y, box[1] + 2)]));
  }

  magnify(direction) {
    if (this.draft) this.stage.magnify(direction);
  }

  // Answering

  answer(action) {
    if (!this.draft) return;
    if (this.stage.gone && action !== "unsure") {
      toast("Nobody can say what an unreadable picture shows: S leaves it, U says that you can’t tell.");
      return;
    }
    this.stage.sync();
    const draft = this.draft;
    const kind = action === "accept" && draft.changed ? (draft.there.length ? "edit" : "reject") : action;
    const milliseconds = Math.round(performance.now() - this.started);
    const message = { id: makeId(), sample_id: draft.card.id, revision: draft.card.revision, action: kind, ...draft.answer(kind), milliseconds };
    if (draft.current) this.usedLabel = draft.current.label;
    this.outbox.add(this.reviewer, message);
    this.remember([{ card: draft.card, draft, message }]);
    this.next();
  }

  answerMany(pairs, grid) {
    for (const { message } of pairs) this.outbox.add(this.reviewer, message);
    this.remember(pairs.map(({ card, message }) => ({ card, message })), grid);
    pairs.forEach(({ card }) => this.supply.forget(card.id));
  }

  remember(entries, grid) {
    this.history.add(entries, grid);
    this.done += entries.length;
    this.drawLeft(Math.max(0, this.left - entries.length));
    this.drawButtons();
  }

  skip() {
    if (!this.draft) return;
    this.stage.sync();
    this.supply.putLast(this.draft);
    this.next();
  }

  undo() {
    undo(this);
  }

  async look(id) {
    byId("progress").close();
    this.setMode("single");
    try {
      const card = await fetchCard(id, this.reviewer);
      if (this.draft) this.supply.putBack(this.draft);
      this.supply.forget(id);
      this.show(card, this.supply.draftOf(card));
    } catch (error) {
      this.problem(error);
    }
  }

  // The rest of the page

  async setMode(mode, open = true) {
    if (mode === "grid") this.hideDraft();
    this.mode = mode;
    byId("single").hidden = mode !== "single";
    byId("grid").hidden = mode !== "grid";
    byId("to-single").ariaPressed = String(mode === "single");
    byId("to-grid").ariaPressed = String(mode === "grid");
    this.drawButtons();
    if (mode === "single") this.leaveGrid();
    else this.supply.rest();
    if (mode !== "grid" || !open) return;
    const item = this.filters.wanted.item || this.grid.item || Object.keys(this.facts?.items || {})[0] || "";
    await this.grid.open(item);
  }

  // What is untouched goes back, so that the grid may ask about it.
  hideDraft() {
    this.chosen(null); // what is chosen can't be drawn while it is hidden
    if (!this.draft || this.draft.steps.length) return;
    this.draft = null;
    this.stage.clear();
  }

  leaveGrid() {
    this.grid.close();
    this.supply.wake();
    this.stage.fit();
    if (this.draft) this.supply.fill();
    else this.next();
  }

  async pickItem() {
    const item = await askName("Which item?", Object.keys(this.facts?.items || {}), this.grid.item);
    if (item) this.grid.open(item);
  }

  async openFilters() {
    openSheet("filters");
    await this.readFacts();
    this.filters.showLeft(this.supply.left);
  }

  async openProgress() {
    openSheet("progress");
    await this.readFacts();
    if (this.facts) drawProgress(this.facts, (id) => this.look(id));
  }

  openHelp() {
    openSheet("help");
  }

  async changePerson() {
    const name = await askPerson(this.reviewer);
    if (name === this.reviewer) return;
    this.setReviewer(name);
    this.forgetAll();
    this.startOver();
  }

  // What lies here is of another person or another catalog.
  forgetAll() {
    this.draft = null;
    this.history.clear();
    this.supply.forgetAll();
    this.grid.passed = [];
  }

  setReviewer(name) {
    this.reviewer = name;
    localStorage.setItem("visionkit.reviewer", name);
    byId("person").textContent = name;
  }

  changeTheme() {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    setTheme(dark ? "light" : "dark");
  }

  async readFacts() {
    const before = this.facts?.catalog;
    try {
      this.facts = await overview();
    } catch (error) {
      this.problem(error);
      return;
    }
    this.outbox.serve(this.facts.catalog);
    if (before && before !== this.facts.catalog) this.moved();
    this.filters.fill(this.facts);
    this.panel.showItems(Object.keys(this.facts.items));
    this.drawLeft(this.left ?? this.facts.left); // how many were asked may have changed
  }

  moved() {
    toast("Another catalog is served here now.", { bad: true, seconds: 9 });
    this.forgetAll();
    this.filters.set({});
  }

  get labels() {
    const drawn = this.draft ? this.draft.entries.map((entry) => entry.label) : [];
    return [...new Set([...(this.facts?.labels || []), ...drawn])];
  }

  tone(label) {
    const place = (this.facts?.labels || []).indexOf(label);
    return (place < 0 ? [...label].reduce((sum, sign) => sum + sign.codePointAt(0), 0) : place) % 8;
  }

  // `left` are open for this person and filter; what is answered here may not be saved yet.
  tellLeft(left) {
    const open = Math.max(0, left - this.outbox.size);
    this.drawLeft(open);
    this.filters.showLeft(open);
  }

  drawLeft(left) {
    this.left = left;
    const asked = Math.max(this.facts?.asked || 0, left, 1);
    byId("left-words").textContent = `${left.toLocaleString("en")} left${this.done > 0 ? ` · ${this.done.toLocaleString("en")} done` : ""}`;
    byId("left-bar").style.width = `${((asked - left) / asked) * 100}%`;
  }

  drawButtons() {
    const draft = this.draft;
    for (const id of ["accept", "reject", "unsure", "skip", "draw", "whole"]) byId(id).disabled = !draft;
    byId("undo").disabled = !this.history.length && !draft?.steps.length;
    byId("grid-undo").disabled = !this.history.length;
    byId("accept-word").textContent = draft?.changed ? "Save" : "Accept";
    byId("accept-words").textContent = draft ? draft.words : "";
  }

  drawLink() {
    drawLink(this.outbox);
  }

  problem(error) {
    if (error.status === undefined) throw error;
    if (error.status === 0) return; // told by the link, and tried again
    if (error.status === 409) {
      this.readFacts(); // says that it is another catalog
      return;
    }
    toast(`${sentence(error.message)}. ${sentence(error.wayOut || "")}`, { bad: true, seconds: 7 });
  }
}

function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("visionkit.theme", theme);
}

const theme = localStorage.getItem("visionkit.theme");
if (theme) document.documentElement.dataset.theme = theme;
new Review().start();
