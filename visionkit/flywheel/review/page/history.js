// Answers that were given here, so that they can be taken back.

const MOST = 200;

export class History {
  constructor() {
    this.past = [];
  }

  get length() {
    return this.past.length;
  }

  // entries: [{card, message, draft}] that one key answered; grid: {item, marked} where it was one of many.
  add(entries, grid = null) {
    this.past.push({ entries, grid });
    if (this.past.length > MOST) this.past.shift();
  }

  pop() {
    return this.past.pop();
  }

  clear() {
    this.past = [];
  }

  // Takes out the answers of these ids, which were not written; says how many there were.
  drop(ids) {
    const before = this.count;
    this.past = this.past
      .map(({ entries, grid }) => ({ entries: entries.filter(({ message }) => !ids.includes(message.id)), grid }))
      .filter(({ entries }) => entries.length);
    return before - this.count;
  }

  get count() {
    return this.past.reduce((sum, { entries }) => sum + entries.length, 0);
  }
}
