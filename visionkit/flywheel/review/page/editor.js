// The picture before the person, and each change of what is said of it.

import { makeId } from "./api.js";
import { byId, toast } from "./build.js";
import { Panel } from "./panel.js";
import { askName } from "./sheets.js";
import { Stage } from "./stage.js";

export class Editor {
  // labels(): all names that are known; item(): the one that is wanted, or undefined; tone(label):
  // number of its colour; changed(): another picture is shown, or something else said of it.
  constructor({ labels, item, tone, changed }) {
    this.known = labels;
    this.item = item;
    this.changed = changed;
    this.draft = null;
    this.usedLabel = "";
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

  show(draft, image) {
    this.draft = draft;
    this.stage.show(draft.card, image);
    this.panel.show(draft);
    this.redraw();
    this.started = performance.now();
    document.documentElement.dataset.shown = draft.card.id;
  }

  clear() {
    this.draft = null;
    this.stage.clear();
  }

  redraw() {
    this.stage.draw(this.draft);
    this.panel.draw(this.draft);
    this.changed();
  }

  // What the person says of the picture by an action.
  answer(action) {
    this.stage.sync();
    const { draft, usedLabel } = this;
    const kind = action === "accept" && draft.changed ? (draft.there.length ? "edit" : "reject") : action;
    const milliseconds = Math.round(performance.now() - this.started);
    this.usedLabel = draft.current?.label ?? usedLabel;
    return { id: makeId(), sample_id: draft.card.id, revision: draft.card.revision, action: kind, ...draft.answer(kind), milliseconds };
  }

  get labels() {
    const drawn = this.draft ? this.draft.entries.map((entry) => entry.label) : [];
    return [...new Set([...this.known(), ...drawn])];
  }

  edit(change) {
    if (!this.draft) return;
    change();
    this.redraw();
  }

  // Choosing

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

  // What is there, and its name

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

  // Boxes

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

  lastLabel() {
    return this.usedLabel || this.item() || this.draft.entries[0]?.label || this.labels[0] || "item";
  }

  // A box in the middle, for the keyboard: arrows move it.
  drawBox() {
    if (!this.draft) return;
    const { width, height } = this.draft.card;
    const [across, down] = [width / 8, height / 8];
    this.drawn([width / 2 - across, height / 2 - down, width / 2 + across, height / 2 + down]);
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
}
