// The page: how a person comes from picture to picture, and where their answers go.

import { card as fetchCard, giveBack } from "./api.js";
import { byId, sentence, toast } from "./build.js";
import { bindButtons, drawButtons } from "./buttons.js";
import { Draft } from "./draft.js";
import { Editor } from "./editor.js";
import { Facts } from "./facts.js";
import { Grid } from "./grid.js";
import { History } from "./history.js";
import { listen } from "./keys.js";
import { Leases } from "./leases.js";
import { Left } from "./left.js";
import { Outbox } from "./outbox.js";
import { drawProgress } from "./progress.js";
import { Filters, askName, askPerson, openSheet, prepareSheets } from "./sheets.js";
import { drawEmpty, drawLink } from "./state.js";
import { EMPTY_EVERY, Supply } from "./supply.js";
import { restoreTheme } from "./theme.js";
import { told, undo } from "./undo.js";

class Review {
  constructor() {
    this.mode = "single";
    this.reviewer = localStorage.getItem("visionkit.reviewer") || "";
    this.history = new History();
    const problem = (error) => this.problem(error);
    const wishes = () => ({ reviewer: this.reviewer, wanted: this.filters.wanted, catalog: this.facts.catalog });
    const holding = () => this.holding();
    this.facts = new Facts({ heard: (isAnother) => this.heard(isAnother), problem });
    this.outbox = new Outbox({ told: (entry, result) => told(this, entry, result), changed: () => this.sent(), moved: () => this.facts.read() });
    this.filters = new Filters(() => this.startOver());
    this.supply = new Supply({ wishes, holding, changed: (error) => this.supplied(error) });
    this.grid = new Grid({
      wishes,
      holding,
      answer: (pairs, grid) => this.answerMany(pairs, grid),
      release: () => this.supply.release(),
      problem,
    });
    this.left = new Left({
      waiting: () => this.outbox.size,
      asked: () => this.facts.now?.asked ?? 0,
      told: (left) => this.filters.showLeft(left),
      ask: () => this.leases.renew(),
    });
    this.leases = new Leases({ wishes, holding, seconds: () => this.facts.leaseSeconds, left: (left) => this.left.hear(left) });
    this.editor = new Editor({
      labels: () => this.facts.labels,
      item: () => this.filters.wanted.item,
      tone: (label) => this.facts.tone(label),
      changed: () => this.drawButtons(),
    });
  }

  get draft() {
    return this.editor.draft;
  }

  async start() {
    prepareSheets();
    bindButtons(this);
    listen(this);
    await this.facts.read();
    if (!this.reviewer) this.setReviewer(this.facts.now?.reviewer || "reviewer");
    byId("person").textContent = this.reviewer;
    await this.supply.fill();
    if (!this.draft) this.next();
    this.leases.start();
    this.facts.start();
    window.addEventListener("pagehide", () => giveBack(this.reviewer, this.outbox.pictures));
  }

  // Pictures

  next() {
    const card = this.supply.next();
    if (card) this.show(card, this.supply.draftOf(card));
    else this.showNone();
  }

  show(card, draft = new Draft(card)) {
    byId("empty").hidden = true;
    this.editor.show(draft, this.supply.image(card.id));
  }

  showNone() {
    this.editor.clear();
    this.drawEmpty();
    this.drawButtons();
  }

  supplied(error) {
    if (error) this.supply.again();
    else this.left.hear(this.supply.left);
    if (!this.draft && this.supply.all.length) this.next();
    else if (!this.draft) this.drawEmpty();
    if (error) this.problem(error);
    else if (!this.draft) this.supply.again(EMPTY_EVERY);
  }

  // Ids of the pictures that lie here, which nobody else shall be given.
  holding() {
    const cards = [...(this.draft ? [this.draft.card] : []), ...this.grid.cards, ...this.supply.all];
    return [...new Set([...this.outbox.pictures, ...cards.map((card) => card.id)])];
  }

  startOver() {
    if (this.draft) this.supply.keep(this.draft);
    this.supply.reset();
    this.editor.clear();
    if (this.mode === "grid") this.grid.open(this.filters.wanted.item || this.grid.item);
    this.supply.fill();
    this.drawEmpty();
    this.drawButtons();
  }

  skip() {
    if (!this.draft) return;
    this.editor.stage.sync();
    this.supply.putLast(this.draft);
    this.next();
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

  // Answering

  answer(action) {
    const { draft, editor } = this;
    if (!draft) return;
    if (editor.stage.gone && action !== "unsure") {
      toast("Nobody can say what an unreadable picture shows: S leaves it, U says that you can’t tell.");
      return;
    }
    const message = editor.answer(action);
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
    this.left.answered(entries.length);
    this.drawButtons();
  }

  sent() {
    drawLink(this.outbox);
    this.left.sent();
  }

  undo() {
    undo(this);
  }

  // One by one, or many at once

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
    await this.grid.open(this.filters.wanted.item || this.grid.item || this.facts.items[0] || "");
  }

  // What is untouched goes back, so that the grid may ask about it.
  hideDraft() {
    this.editor.chosen(null); // what is chosen can't be drawn while it is hidden
    if (this.draft && !this.draft.steps.length) this.editor.clear();
  }

  leaveGrid() {
    this.grid.close();
    this.supply.wake();
    this.editor.stage.fit();
    if (this.draft) this.supply.fill();
    else this.next();
  }

  async pickItem() {
    const item = await askName("Which item?", this.facts.items, this.grid.item);
    if (item) this.grid.open(item);
  }

  // Sheets

  async openFilters() {
    openSheet("filters");
    await this.facts.read();
    if (this.left.number !== null) this.filters.showLeft(this.left.number);
  }

  async openProgress() {
    openSheet("progress");
    await this.facts.read();
    if (this.facts.now) drawProgress(this.facts.now, (id) => this.look(id));
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

  setReviewer(name) {
    this.reviewer = name;
    localStorage.setItem("visionkit.reviewer", name);
    byId("person").textContent = name;
  }

  // What the server tells

  heard(isAnother) {
    const { facts } = this;
    this.outbox.serve(facts.catalog);
    if (isAnother) this.moved();
    this.filters.fill(facts.now);
    this.editor.panel.showItems(facts.items);
    this.left.show(this.left.number ?? facts.now.left); // how many were asked may have changed
  }

  moved() {
    toast("Another catalog is served here now.", { bad: true, seconds: 9 });
    this.forgetAll();
    this.filters.set({});
  }

  // What lies here is of another person or another catalog.
  forgetAll() {
    this.editor.clear();
    this.history.clear();
    this.supply.forgetAll();
    this.grid.passed = [];
  }

  problem(error) {
    if (error.status === undefined) throw error;
    if (error.status === 0) return; // told by the link, and tried again
    if (error.status === 409) {
      this.facts.read(); // says that it is another catalog
      return;
    }
    toast(`${sentence(error.message)}. ${sentence(error.wayOut || "")}`, { bad: true, seconds: 7 });
  }

  drawEmpty() {
    const filtered = byId("open-filters").classList.contains("on");
    drawEmpty(this.supply, filtered, () => this.filters.set({}));
  }

  drawButtons() {
    drawButtons(this.draft, this.history.length);
  }
}

restoreTheme();
new Review().start();
