// What a person makes of one picture: the claims as they were shown, and each change as a step.

let count = 0;

export class Draft {
  constructor(card) {
    this.card = card;
    this.entries = card.claims.map((claim) => ({ ...claim, key: `e${(count += 1)}` }));
    this.first = this.entries;
    this.steps = [];
    this.chosen = null;
  }

  get changed() {
    const [now, then] = [this.entries, this.first].map((entries) => JSON.stringify(entries.filter((e) => e.there).map(content)));
    return now !== then;
  }

  get there() {
    return this.entries.filter((entry) => entry.there);
  }

  // Whether nothing is said but of the whole picture, of which one class at most can hold.
  get onlyClasses() {
    return !this.entries.length || (this.card.one_class && this.entries.every((entry) => !entry.box));
  }

  find(key) {
    return this.entries.find((entry) => entry.key === key);
  }

  get current() {
    return this.chosen ? this.find(this.chosen) : undefined;
  }

  // The entry that a relabelling means: the chosen one, or the only one.
  get target() {
    if (this.current) return this.current;
    return this.entries.length === 1 ? this.entries[0] : undefined;
  }

  change(key, values) {
    this.step(this.alone(key, this.entries.map((entry) => (entry.key === key ? { ...entry, ...values } : entry))));
  }

  // Where a picture is of one class, the one that was just said takes the others away.
  alone(key, entries) {
    const said = entries.find((entry) => entry.key === key);
    if (!this.card.one_class || said.box || !said.there) return entries;
    return entries.map((entry) => (entry.key === key || entry.box ? entry : { ...entry, there: false }));
  }

  relabel(key, label) {
    this.change(key, { label, there: true });
  }

  move(key, box) {
    this.change(key, { box: inside(box, this.card), there: true });
  }

  toggle(key) {
    const entry = this.find(key);
    if (entry) this.change(key, { there: !entry.there });
  }

  // What a person drew or named is gone; what was said by others stays to be seen as not there.
  remove(key) {
    const entry = this.find(key);
    if (!entry) return;
    if (entry.own) this.step(this.entries.filter((other) => other.key !== key));
    else this.change(key, { there: false });
  }

  // Says a class of the whole picture, which may be offered already.
  name(label) {
    const known = this.entries.find((entry) => !entry.box && entry.label === label);
    if (!known) this.add(label, null);
    else if (!known.there) this.toggle(known.key);
  }

  add(label, box) {
    const key = `e${(count += 1)}`;
    const plain = { proposal: "", score: null, threshold: null, runner_up: "", runner_up_score: 0, inliers: -1 };
    const shape = box ? inside(box, this.card) : null;
    this.step(this.alone(key, [...this.entries, { ...plain, key, label, box: shape, there: true, source: "you", own: true }]));
    this.chosen = key;
    return key;
  }

  step(entries) {
    this.steps.push(this.entries);
    this.entries = entries;
  }

  undo() {
    if (!this.steps.length) return false;
    this.entries = this.steps.pop();
    if (!this.current) this.chosen = null;
    return true;
  }

  // The next or previous entry, round and round.
  choose(direction) {
    if (!this.entries.length) return;
    const place = this.entries.findIndex((entry) => entry.key === this.chosen);
    const start = place < 0 && direction < 0 ? 0 : place;
    this.chosen = this.entries[(start + direction + this.entries.length) % this.entries.length].key;
  }

  // The answer's content for an action; "reject" and "unsure" say nothing of labels and boxes.
  answer(action) {
    const said = action === "reject" || action === "unsure" ? [] : this.there;
    return {
      labels: [...new Set(said.filter((entry) => !entry.box).map((entry) => entry.label))],
      objects: said.filter((entry) => entry.box).map(({ label, box }) => ({ label, box })),
      seen: this.card.claims.filter((claim) => claim.proposal).map((claim) => claim.proposal),
      model: this.card.model,
    };
  }

  // "2 × Pepsi, Fanta", or that nothing is there.
  get words() {
    const numbers = new Map();
    for (const entry of this.there) numbers.set(entry.label, (numbers.get(entry.label) || 0) + 1);
    return [...numbers].map(([label, number]) => (number > 1 ? `${number} × ${label}` : label)).join(", ") || "nothing there";
  }
}

function content({ label, box }) {
  return [label, box];
}

function inside(box, { width, height }) {
  const [left, top] = [Math.min(box[0], box[2]), Math.min(box[1], box[3])];
  const [right, bottom] = [Math.max(box[0], box[2]), Math.max(box[1], box[3])];
  const x = Math.min(Math.max(left, 0), width - 1);
  const y = Math.min(Math.max(top, 0), height - 1);
  return [x, y, Math.min(Math.max(right, x + 1), width), Math.min(Math.max(bottom, y + 1), height)];
}
