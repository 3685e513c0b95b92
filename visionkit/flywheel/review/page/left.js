// How many pictures are left, and how many were done on this page.

import { byId } from "./build.js";

export class Left {
  // waiting(): how many answers are not saved yet; asked(): how many pictures there were; told(left):
  // the number is known anew; ask(): has it told again.
  constructor({ waiting, asked, told, ask }) {
    this.waiting = waiting;
    this.ask = ask;
    this.asked = asked;
    this.told = told;
    this.number = null; // until it is first heard
    this.done = 0;
    this.unsure = false;
  }

  // `left` are open for this person and filter; what is answered here may not be saved yet, or be
  // saved and counted without the page having been told so.
  hear(left) {
    const waiting = this.waiting();
    const open = Math.max(0, left - waiting);
    this.unsure = waiting > 0;
    this.show(open);
    this.told(open);
  }

  // Answers were sent, or are to be: once all are through, the number is known for sure.
  sent() {
    if (this.unsure && !this.waiting()) this.ask();
  }

  answered(count) {
    this.done += count;
    this.show(Math.max(0, this.number - count));
  }

  takenBack(count) {
    this.done -= count;
    this.show(this.number + count);
  }

  // So many were not written: whether they are open still is known when the others are through.
  refused(count) {
    this.done -= count;
    this.unsure = true;
  }

  show(number) {
    this.number = number;
    const asked = Math.max(this.asked(), number, 1);
    const done = this.done > 0 ? ` · ${this.done.toLocaleString("en")} done` : "";
    byId("left-words").textContent = `${number.toLocaleString("en")} left${done}`;
    byId("left-bar").style.width = `${((asked - number) / asked) * 100}%`;
  }
}
