// Pictures that lie here stay this person's while they work: a lease ends by itself.

import { take } from "./api.js";

const IDLE = 5; // leases after which a page that nobody touches lets its pictures go
const TOUCHES = ["keydown", "pointerdown", "pointermove", "wheel"];

export class Leases {
  // wishes(): {reviewer, wanted}; holding(): ids of the pictures that lie here; seconds(): of a lease;
  // left(number): how many pictures are open, as the server says while it is at it.
  constructor({ wishes, holding, seconds, left }) {
    this.wishes = wishes;
    this.holding = holding;
    this.seconds = seconds;
    this.left = left;
    this.touched = performance.now();
  }

  start() {
    for (const name of TOUCHES) document.addEventListener(name, () => this.touch(), { capture: true, passive: true });
    this.goOn();
  }

  get idle() {
    return performance.now() - this.touched > IDLE * this.seconds() * 1000;
  }

  touch() {
    const wasIdle = this.idle;
    this.touched = performance.now();
    if (wasIdle) this.renew();
  }

  // A third of a lease: one renewal may fail.
  goOn() {
    setTimeout(() => {
      if (!this.idle) this.renew();
      this.goOn();
    }, (this.seconds() * 1000) / 3);
  }

  async renew() {
    try {
      await take(() => ({ ...this.wishes(), held: this.holding(), count: 0 }), (reply) => this.left(reply.left));
    } catch (error) {
      if (error.status === undefined) throw error; // the next one may be heard
    }
  }
}
